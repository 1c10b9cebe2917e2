import type { FC } from "hono/jsx";

const PATHS = {
  inbox: "M3 13h5l1.5 3h5L16 13h5M5.5 5h13L21 13v6H3v-6z",
  log: "M6 3h9l4 4v14H6zM9 9h7M9 13h7M9 17h4",
  policy: "M12 3l8 3v6c0 5-3.4 8-8 9-4.6-1-8-4-8-9V6zM9 12l2 2 4-4",
  people:
    "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM2 21c0-4 3-6 7-6s7 2 7 6M16 3.5a4 4 0 0 1 0 7.3M18 15.5c2.500.8 4 2.700 4 5.5",
  health: "M3 12h4l3-8 4 16 3-8h4",
  back: "M15 5l-7 7 7 7",
  check: "M5 12.5l4.5 4.5L19 7",
  cross: "M6 6l12 12M18 6L6 18",
  ask: "M12 17.500v.01M9 9a3 3 0 1 1 4.500 2.600c-.900.5-1.500 1.200-1.500 2.400M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  clock: "M12 7v5l3.500 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  warning: "M12 4L2.500 20h19zM12 10v4M12 17v.01",
  undo: "M9 7L4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  key: "M8 15a4 4 0 1 1 3.500-6H21v4h-3v3h-3v-3h-3.500A4 4 0 0 1 8 15z",
  dot: "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  run: "M8 5l11 7-11 7z",
} as const;
export type IconName = keyof typeof PATHS;

/** A line drawing beside words that say the same: hidden from screen readers. */
export const Icon: FC<{ name: IconName }> = ({ name }) => (
  <svg class="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">
    <path
      d={PATHS[name]}
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
    />
  </svg>
);

/** The mark: a signature line under a seal. */
export const Mark: FC = () => (
  <svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" focusable="false">
    <rect x="1" y="1" width="30" height="30" rx="8" fill="currentColor" />
    <path
      class="mark-ink"
      d="M7 19c3-8 6-9 6-6s-3 6-1 6 3-4 5-4 0 4 2 4 3-1 6-4M7 24h18"
      fill="none"
      stroke-width="2.2"
      stroke-linecap="round"
      stroke-linejoin="round"
    />
  </svg>
);

/** The same as a picture for the browser's tab. */
export const FAVICON =
  "data:image/svg+xml," +
  encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect x="1" y="1" width="30" height="30" rx="8" fill="#2b44c7"/><path d="M7 19c3-8 6-9 6-6s-3 6-1 6 3-4 5-4 0 4 2 4 3-1 6-4M7 24h18" fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round"/></svg>`,
  );
