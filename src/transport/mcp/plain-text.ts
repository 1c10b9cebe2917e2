// Text of people, operators and backends on its way to a model or a progress line. It stays readable and stays what
// it is: one line is one line, and nothing in it can pass for the lines that we wrote around it (P3).

/** Anything that is not visible, one column wide and in place: controls, format characters, private use, separators. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/gu;

const visible = (text: string): string =>
  text.toWellFormed().replace(HIDDEN, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);

/** One line: line ends become spaces, hidden characters become `\u{…}`. */
export const plainLine = (text: string, limit = 2_000): string => {
  const line = visible(text.replace(/\s*[\r\n\u0085\u2028\u2029]+\s*/g, " ").trim());
  return line.length <= limit ? line : `${line.slice(0, limit)}… (${line.length - limit} more characters)`;
};

/** Several lines, each as {@link plainLine}. */
export const plainText = (text: string): string => linesOf(text).join("\n");

/** Someone else's words, every line behind a mark. */
export const quoted = (text: string): string =>
  linesOf(text)
    .map((line) => `> ${line}`)
    .join("\n");

const linesOf = (text: string): string[] =>
  text.split(/\r\n|[\r\n\u0085\u2028\u2029]/).map((line) => plainLine(line));
