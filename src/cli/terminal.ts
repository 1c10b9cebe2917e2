import { createInterface } from "node:readline";
import { createPaint, type Paint } from "../base/terminal.ts";
import { neutralLine } from "../base/text.ts";

/** The three streams of a process, as far as the command line needs them. */
export interface Streams {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/** Where a command speaks. Callers hand it text that is neutral already, or use `json`. */
export interface Terminal {
  /** Columns to lay out for: what the terminal has, within what can be read. */
  readonly width: number;
  readonly paint: Paint;
  /** Somebody can be asked: input and errors are a terminal. */
  readonly interactive: boolean;
  /** One line (or several) to standard output. */
  out(text: string): void;
  /** One line to standard error: what is not the answer. */
  note(text: string): void;
  /** A value for programs, one document per call. */
  json(value: unknown, options?: { readonly indent?: number }): void;
  /** Asks on standard error, so that standard output stays the answer. Null where input ended. */
  ask(question: string): Promise<string | null>;
}

const MIN_WIDTH = 48;
const MAX_WIDTH = 100;

/** @param wish.colour false where the person switched colour off; `NO_COLOR` (no-color.org) does as well */
export function createTerminal(
  streams: Streams,
  wish: { readonly colour: boolean; readonly env: Readonly<Record<string, string | undefined>> },
): Terminal {
  const { stdin, stdout, stderr } = streams;
  const noColor = wish.env["NO_COLOR"];
  const colour =
    wish.colour &&
    stdout.isTTY === true &&
    (noColor === undefined || noColor === "") &&
    wish.env["TERM"] !== "dumb";
  return {
    width: Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, stdout.columns || 80)),
    paint: createPaint(colour),
    interactive: stdin.isTTY === true && stderr.isTTY === true,
    out: (text) => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    json: (value, options = {}) => void stdout.write(`${inertJson(value, options.indent ?? 2)}\n`),
    ask: (question) => ask(streams, question),
  };
}

/**
 * JSON in which every character beyond printable ASCII is escaped: programs read the exact value, and a person who
 * looks at it sees nothing that acts or hides (P3).
 */
export const inertJson = (value: unknown, indent = 2): string =>
  JSON.stringify(value, null, indent).replaceAll(
    /[^\n\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

function ask(streams: Streams, question: string): Promise<string | null> {
  return new Promise((resolve) => {
    const lines = createInterface({
      input: streams.stdin,
      output: streams.stderr,
      terminal: streams.stdin.isTTY === true && "setRawMode" in streams.stdin,
      historySize: 0,
    });
    let answer: string | null = null;
    lines.once("close", () => resolve(answer));
    lines.once("SIGINT", () => lines.close());
    lines.question(question, (line) => {
      answer = neutralLine(line.trim());
      lines.close();
    });
  });
}
