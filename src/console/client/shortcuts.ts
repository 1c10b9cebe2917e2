import { openSheet } from "./sheets.ts";

const OFF = "countersign.shortcuts";
const PLACES: Readonly<Record<string, string>> = {
  i: "/",
  l: "/log",
  p: "/policy",
  u: "/people",
  h: "/health",
};
const SHEETS: Readonly<Record<string, string>> = { a: "approve", d: "deny", q: "ask", "?": "shortcuts" };

const isOff = (): boolean => localStorage.getItem(OFF) === "off";

/** Keys of one letter, away from fields and sheets; they can be turned off (WCAG 2.1.4). */
export function wireShortcuts(): void {
  const box = document.getElementById("shortcuts-on");
  if (box instanceof HTMLInputElement) {
    box.checked = !isOff();
    box.addEventListener("change", () => localStorage.setItem(OFF, box.checked ? "on" : "off"));
  }
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isOff() || isTyping(event.target)) return;
    if (isGoing) {
      isGoing = false;
      const place = PLACES[event.key];
      if (place !== undefined) location.assign(place);
      return;
    }
    if (event.key === "g") isGoing = true;
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "e") toggleFolds();
    else if (event.key === "/") document.querySelector<HTMLElement>("[data-search]")?.focus();
    else if (SHEETS[event.key] !== undefined) {
      // Only what a button offers: a key opens nothing that the page does not.
      const id = SHEETS[event.key] ?? "";
      if (document.querySelector(`[data-open="${id}"]`) !== null) openSheet(id);
    } else return;
    event.preventDefault();
  });
}

function isTyping(target: EventTarget | null): boolean {
  if (document.querySelector("dialog[open]") !== null) return true;
  return target instanceof Element && target.closest("input, textarea, select") !== null;
}

function step(by: 1 | -1): void {
  const lines = [...document.querySelectorAll<HTMLElement>(".rows a, .entries .seq")];
  const at = lines.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? (by > 0 ? 0 : lines.length - 1) : Math.min(lines.length - 1, Math.max(0, at + by));
  lines[next]?.focus();
}

function toggleFolds(): void {
  const folds = [...document.querySelectorAll<HTMLDetailsElement>("details[data-evidence]")];
  const isAllOpen = folds.every((fold) => fold.open);
  for (const fold of folds) fold.open = !isAllOpen;
}
