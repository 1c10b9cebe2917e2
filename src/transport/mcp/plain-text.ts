import { neutralise } from "../../base/text.ts";

// Text of people, operators and backends on its way to a model or a progress line. One line is one line, and nothing
// in it can pass for the lines that we wrote around it (P3).

const LINE_END = /\r\n|[\r\n\u0085\u2028\u2029]/;

/** One line: line ends become spaces, what a reader would not see becomes a marker. */
export const plainLine = (text: string, limit = 2_000): string => {
  const line = neutralise(
    text
      .split(LINE_END)
      .map((part) => part.trim())
      .join(" ")
      .trim(),
    { lines: false },
  ).text;
  return line.length <= limit ? line : `${line.slice(0, limit)}… (${line.length - limit} more characters)`;
};

/** Several lines, each as {@link plainLine}. */
export const plainText = (text: string): string => linesOf(text).join("\n");

/** Someone else's words, every line behind a mark. */
export const quoted = (text: string): string =>
  linesOf(text)
    .map((line) => `> ${line}`)
    .join("\n");

const linesOf = (text: string): string[] => text.split(LINE_END).map((line) => plainLine(line));
