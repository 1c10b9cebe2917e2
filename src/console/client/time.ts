import { formatDuration } from "../../base/duration.ts";

// Times in the reader's own zone, and distances that stay true while the page is open.

const zoned = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
  timeZoneName: "longOffset",
});

const monthName = new Intl.DateTimeFormat("en-GB", { month: "short" });

/** Replaces UTC by the reader's zone; UTC stays as the title. */
export function localise(root: ParentNode): void {
  for (const time of root.querySelectorAll<HTMLTimeElement>("time[data-moment]")) {
    const parts = zoned.formatToParts(Date.parse(time.dateTime));
    const part = (type: Intl.DateTimeFormatPartTypes): string =>
      parts.find((one) => one.type === type)?.value ?? "";
    const zone = part("timeZoneName").replace("GMT", "UTC");
    const exact = `${part("year")}-${part("month")}-${part("day")} ${part("hour")}:${part("minute")}:${part("second")}`;
    const form = time.dataset["moment"];
    time.title = `${exact} ${zone} (${time.dateTime.replace("T", " ").slice(0, 19)} UTC)`;
    time.textContent =
      form === "short"
        ? `${Number(part("day"))} ${monthName.format(Date.parse(time.dateTime))}, ${part("hour")}:${part("minute")}`
        : form === "exact"
          ? exact
          : `${exact} ${zone}`;
    delete time.dataset["moment"];
  }
}

/** Keeps every distance true, once a second. */
export function keepTime(): void {
  const tick = (): void => {
    const now = Date.now();
    for (const time of document.querySelectorAll<HTMLTimeElement>("time[data-distance]")) {
      const at = Number(time.dataset["distance"]);
      const left = at - now;
      const words =
        Math.abs(left) < 1_000
          ? "now"
          : left > 0
            ? `in ${formatDuration(left)}`
            : `${formatDuration(-left)} ago`;
      if (time.textContent !== words) time.textContent = words;
      const holder = time.closest(".left, .effect-left");
      holder?.classList.toggle("soon", left > 0 && left < 300_000);
      holder?.classList.toggle("late", left <= 0);
    }
  };
  tick();
  setInterval(tick, 1_000);
}
