import type { Child, FC } from "hono/jsx";
import { formatDuration } from "../base/duration.ts";
import { neutralise, neutralLine } from "../base/text.ts";
import type { View } from "../preview/view.ts";
import { cellsOf, type Cell } from "./shown.ts";

// Text that is not ours gets onto a page through this file alone: neutralised once (P3), escaped by JSX, isolated so
// that its direction can't reach our own words, and never a link.

/** Neutral text with our markers set off from it. What the element's text is stays the same, to the letter. */
const marked = (neutral: string): Child => {
  if (!neutral.includes("⟦")) return neutral;
  // No marker can be forged: the brackets of the input come out as markers themselves.
  return neutral
    .split(/(⟦[^⟦⟧]*⟧)/)
    .filter((piece) => piece !== "")
    .map((piece) => (piece.startsWith("⟦") ? <mark class="marker">{piece}</mark> : piece));
};

/** One line of somebody else's text. */
export const Line: FC<{ text: string }> = ({ text }) => <bdi>{marked(neutralLine(text))}</bdi>;

/** Somebody else's text with its line breaks. */
export const Lines: FC<{ text: string; code?: boolean }> = ({ text, code }) => (
  <bdi class={code === true ? "lines code" : "lines"}>
    {marked(neutralise(text, code === true ? { maxIndent: 40 } : {}).text)}
  </bdi>
);

/** The cells of one view, to be placed on a page. */
export interface Sheet {
  /** A cell as an element that the page's script finds again and compares. */
  cell(at: string): Child;
  has(at: string): boolean;
  /** Lines of a cell, each in an element of its own; together they are its text. */
  lines(at: string, classOf: (line: string) => string | undefined): Child;
  lineCount(at: string): number;
  text(at: string): string;
  readonly flags: ReadonlySet<Cell["flags"][number]>;
}

export function createSheet(view: View): Sheet {
  const cells = new Map(cellsOf(view).map((cell) => [cell.at, cell]));
  const text = (at: string): string => cells.get(at)?.text ?? "";
  return {
    flags: new Set([...cells.values()].flatMap((cell) => cell.flags)),
    has: (at) => cells.has(at),
    text,
    lineCount: (at) => text(at).replace(/\n$/, "").split("\n").length,
    cell: (at) => <bdi data-at={at}>{marked(text(at))}</bdi>,
    lines: (at, classOf) => (
      <code data-at={at} class="code-lines">
        {text(at)
          .split(/(?<=\n)/)
          .map((line) => (
            <span class={classOf(line)}>{marked(line)}</span>
          ))}
      </code>
    ),
  };
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** How much of a moment is written: with its zone, to the second, or to the minute of this year. */
export type MomentForm = "full" | "exact" | "short";

/** A moment in UTC; the page's script puts it into the reader's own zone. */
export const Moment: FC<{ at: number; form?: MomentForm }> = ({ at, form = "full" }) => {
  const iso = new Date(at).toISOString();
  const words =
    form === "short"
      ? `${Number(iso.slice(8, 10))} ${MONTHS[Number(iso.slice(5, 7)) - 1] ?? ""}, ${iso.slice(11, 16)} UTC`
      : `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
  return (
    <time datetime={iso} data-moment={form}>
      {words}
    </time>
  );
};

/** How long until, or since; the page's script keeps it true. */
export const Distance: FC<{ at: number; now: number }> = ({ at, now }) => (
  <time datetime={new Date(at).toISOString()} data-distance={String(at)}>
    {distanceWords(at, now)}
  </time>
);

/** `in 4m 3s`, `12s ago`. */
export function distanceWords(at: number, now: number): string {
  const distance = at - now;
  if (Math.abs(distance) < 1_000) return "now";
  return distance > 0 ? `in ${formatDuration(distance)}` : `${formatDuration(-distance)} ago`;
}

/** A digest that wraps and can be compared whole. */
export const DigestText: FC<{ digest: string }> = ({ digest }) => <code class="digest">{digest}</code>;

/** `3 people`, `1 person`. */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`;
