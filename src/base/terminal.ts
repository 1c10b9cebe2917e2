import { styleText } from "node:util";

// Layout for a terminal: widths, wrapping, boxes, colour. Everything here takes text that is already neutral
// (base/text.ts) and adds nothing but spaces, line breaks, frames and our own colour codes. Nothing is ever cut (C4);
// the one exception, `shorten`, is for cells of listings and leaves a visible mark.

/** Colour for our own words. With `colour: false` every function returns its text as it is. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
  /** White on red, for what can't be undone. */
  readonly alarm: (text: string) => string;
}

/** @param colour whether the terminal takes colour and the person wants it */
export function createPaint(colour: boolean): Paint {
  type Format = Parameters<typeof styleText>[0];
  const paint =
    (format: Format) =>
    (text: string): string =>
      colour && text !== "" ? styleText(format, text, { validateStream: false }) : text;
  return {
    bold: paint("bold"),
    dim: paint("dim"),
    red: paint("red"),
    green: paint("green"),
    yellow: paint("yellow"),
    cyan: paint("cyan"),
    alarm: paint(["bold", "white", "bgRed"]),
  };
}

const ZERO_WIDTH = /^\p{M}$/u;
const EMOJI = /^\p{Emoji_Presentation}$/u;
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x4dbf],
  [0x4e00, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f900, 0x1f9ff],
  [0x20000, 0x3fffd],
];

function charWidth(char: string): number {
  const code = char.codePointAt(0) as number;
  if (code < 0x300) return 1;
  if (ZERO_WIDTH.test(char)) return 0;
  if (WIDE.some(([from, to]) => code >= from && code <= to) || EMOJI.test(char)) return 2;
  return 1;
}

/** Columns that neutral, unpainted text takes. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) width += charWidth(char);
  return width;
}

/** Pads neutral text with spaces to `width` columns; longer text stays as it is. */
export const padTo = (text: string, width: number): string =>
  text + " ".repeat(Math.max(0, width - displayWidth(text)));

/**
 * Lines of at most `width` columns. Breaks at spaces where it can and inside words where it must; the pieces joined
 * give the text back, but for the single space at which a line was broken.
 */
export function wrap(text: string, width: number): readonly string[] {
  const room = Math.max(8, width);
  return text.split("\n").flatMap((line) => wrapLine(line, room));
}

function wrapLine(line: string, width: number): string[] {
  if (displayWidth(line) <= width) return [line];
  const lines: string[] = [];
  let current = "";
  let columns = 0;
  // Index in `current` of the last space one could break at; 0 is no place to break, it would loop.
  let space = 0;
  for (const char of line) {
    const size = charWidth(char);
    if (columns + size > width) {
      if (char === " ") {
        lines.push(current);
        current = "";
        columns = 0;
        space = 0;
        continue;
      }
      if (space > 0) {
        lines.push(current.slice(0, space));
        current = current.slice(space + 1);
      } else {
        lines.push(current);
        current = "";
      }
      columns = displayWidth(current);
      space = 0;
    }
    if (char === " " && current.trim() !== "") space = current.length;
    current += char;
    columns += size;
  }
  lines.push(current);
  return lines;
}

/** A frame around lines, as wide as the terminal allows; lines are wrapped to fit. */
export function box(title: string, body: string, width: number): readonly string[] {
  const inner = Math.max(16, width - 4);
  const head = ` ${title} `;
  const rule = "─".repeat(Math.max(0, inner + 1 - displayWidth(head)));
  return [
    `┌─${head}${rule}┐`,
    ...wrap(body, inner).map((line) => `│ ${padTo(line, inner)} │`),
    `└${"─".repeat(inner + 2)}┘`,
  ];
}

/** For a cell of a listing: head and tail, with the number of hidden characters between. Never for an approval (C4). */
export function shorten(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  const chars = [...text];
  const marker = `…${chars.length}…`;
  const keep = Math.max(2, width - marker.length);
  const take = (from: readonly string[], room: number): string[] => {
    const taken: string[] = [];
    let used = 0;
    for (const char of from) {
      used += charWidth(char);
      if (used > room) break;
      taken.push(char);
    }
    return taken;
  };
  const head = take(chars, Math.ceil(keep / 2));
  const tail = take([...chars].reverse(), Math.floor(keep / 2)).reverse();
  return `${head.join("")}…${chars.length - head.length - tail.length}…${tail.join("")}`;
}

export interface Column {
  readonly title: string;
  /** May be shortened to fit the terminal. At most one column should be. */
  readonly flexible?: boolean;
  readonly align?: "left" | "right";
  readonly paint?: (text: string) => string;
}

/** A table of neutral cells with a header line, fitted to `width` by shortening flexible columns. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
): readonly string[] {
  const natural = columns.map((column, i) =>
    Math.max(displayWidth(column.title), ...rows.map((row) => displayWidth(row[i] ?? ""))),
  );
  const gaps = 2 * (columns.length - 1);
  const over = natural.reduce((sum, size) => sum + size, gaps) - width;
  const widths = natural.map((size, i) =>
    over > 0 && columns[i]?.flexible === true ? Math.max(Math.min(size, 16), size - over) : size,
  );
  const line = (cells: readonly string[], header: boolean): string =>
    columns
      .map((column, i) => {
        const size = widths[i] ?? 0;
        const cell = column.flexible === true ? shorten(cells[i] ?? "", size) : (cells[i] ?? "");
        const fill = " ".repeat(Math.max(0, size - displayWidth(cell)));
        const painted = header || column.paint === undefined ? cell : column.paint(cell);
        if (column.align === "right") return fill + painted;
        return i === columns.length - 1 ? painted : painted + fill;
      })
      .join("  ")
      .trimEnd();
  return [
    line(
      columns.map((column) => column.title),
      true,
    ),
    ...rows.map((row) => line(row, false)),
  ];
}
