import { formatDuration } from "../base/duration.ts";

/** `2026-11-21 11:30:00 UTC+01:00`: absolute, with its zone. */
export function formatMoment(epochMs: number, zone: string): string {
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
    timeZoneName: "longOffset",
  }).formatToParts(epochMs);
  const part = (type: Intl.DateTimeFormatPartTypes): string =>
    parts.find((one) => one.type === type)?.value ?? "";
  const offset = part("timeZoneName").replace("GMT", "UTC");
  return `${part("year")}-${part("month")}-${part("day")} ${part("hour")}:${part("minute")}:${part("second")} ${offset}`;
}

/** `in 4m 3s`, `12s ago`. */
export function formatDistance(epochMs: number, now: number): string {
  const distance = epochMs - now;
  return distance >= 0 ? `in ${formatDuration(distance)}` : `${formatDuration(-distance)} ago`;
}

/** The zone this machine is set to. */
export const localZone = (): string => new Intl.DateTimeFormat().resolvedOptions().timeZone;
