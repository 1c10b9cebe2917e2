// The words of terraform's native syntax (HCL native syntax specification, "Lexical Elements" and "Templates"), read
// from text that an attacker may have written. Whatever is not understood is refused: a file that reads here as one
// thing and to terraform as another must not exist.

/** A piece of a template: literal text with its escapes resolved, or the words between `${` or `%{` and `}`. */
export type TemplatePart = string | readonly Token[];

export type Token =
  | { readonly kind: "word"; readonly text: string; readonly line: number }
  | { readonly kind: "number"; readonly text: string; readonly line: number }
  | { readonly kind: "text"; readonly parts: readonly TemplatePart[]; readonly line: number }
  | { readonly kind: "mark"; readonly text: string; readonly line: number }
  | { readonly kind: "newline"; readonly line: number };

/** A place that could not be read. */
export class UnreadableText extends Error {
  override readonly name = "UnreadableText";
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** The place of the first token from `from` on that is no end of a line. */
export function afterNewlines(tokens: readonly Token[], from: number): number {
  let at = from;
  while (tokens[at]?.kind === "newline") at += 1;
  return at;
}

const MAX_DEPTH = 64;
const WORD = /[\p{ID_Start}_][\p{ID_Continue}-]*/uy;
const NUMBER = /\d[\d.]*(?:[eE][+-]?\d+)?/y;
const HEREDOC = /<<(-?)([\p{ID_Start}_][\p{ID_Continue}-]*)\r?\n/uy;
const FORBIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)/;

/**
 * Reads a whole file.
 * @throws UnreadableText
 */
export function readTokens(text: string): readonly Token[] {
  const reader = createReader(text);
  return reader.tokens(null, 0);
}

/**
 * Reads a template as `templatefile` does, and as strings of the JSON syntax are: literal text and what is between.
 * @throws UnreadableText
 */
export function readTemplate(text: string): readonly TemplatePart[] {
  return createReader(text).template("end", 0);
}

/** The text of a token that holds no interpolation; undefined for anything else. */
export function literalText(token: Token | undefined): string | undefined {
  if (token?.kind !== "text") return undefined;
  if (token.parts.length === 0) return "";
  const only = token.parts[0];
  return token.parts.length === 1 && typeof only === "string" ? only : undefined;
}

function createReader(source: string): {
  tokens(end: "}" | null, depth: number): readonly Token[];
  template(end: '"' | "end", depth: number): readonly TemplatePart[];
} {
  let at = source.startsWith("\ufeff") ? 1 : 0;
  let line = 1;
  const bad = FORBIDDEN.exec(source);
  if (bad !== null) {
    throw new UnreadableText(source.slice(0, bad.index).split("\n").length, "a control character");
  }

  // Whether three of them escape the first or the last is nothing to rely on.
  const odd = /\$\$\$\{|%%%\{/.exec(source);
  if (odd !== null) throw new UnreadableText(source.slice(0, odd.index).split("\n").length, "$$${ or %%%{");

  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(source);
  };

  const skipComment = (): boolean => {
    if (source[at] === "#" || source.startsWith("//", at)) {
      const end = source.indexOf("\n", at);
      at = end < 0 ? source.length : end;
      return true;
    }
    if (!source.startsWith("/*", at)) return false;
    const end = source.indexOf("*/", at + 2);
    if (end < 0) throw new UnreadableText(line, "a comment without an end");
    line += source.slice(at, end).split("\n").length - 1;
    at = end + 2;
    return true;
  };

  const tokens = (end: "}" | null, depth: number): readonly Token[] => {
    if (depth > MAX_DEPTH) throw new UnreadableText(line, "nested too deeply");
    const found: Token[] = [];
    const open: string[] = [];
    for (;;) {
      const c = source[at];
      if (c === undefined) {
        if (end !== null || open.length > 0) throw new UnreadableText(line, "the file ends too early");
        return found;
      }
      if (c === "\n") {
        found.push({ kind: "newline", line });
        line += 1;
        at += 1;
        continue;
      }
      if (c === " " || c === "\t" || c === "\r") {
        at += 1;
        continue;
      }
      if (skipComment()) continue;
      if (c === '"') {
        const start = line;
        at += 1;
        found.push({ kind: "text", parts: template('"', depth + 1), line: start });
        continue;
      }
      const heredoc = match(HEREDOC);
      if (heredoc !== null) {
        const start = line;
        at += heredoc[0].length;
        line += 1;
        found.push({ kind: "text", parts: readHeredoc(heredoc[2] ?? "", depth + 1), line: start });
        // What ends a here document ends the line, too.
        found.push({ kind: "newline", line });
        continue;
      }
      const word = match(WORD);
      if (word !== null) {
        found.push({ kind: "word", text: word[0], line });
        at += word[0].length;
        continue;
      }
      const number = match(NUMBER);
      if (number !== null) {
        found.push({ kind: "number", text: number[0], line });
        at += number[0].length;
        continue;
      }
      if (c === "}" && open.length === 0) {
        if (end === null) throw new UnreadableText(line, "a brace that closes nothing");
        at += 1;
        return found;
      }
      if ("([{".includes(c)) {
        if (open.length > MAX_DEPTH) throw new UnreadableText(line, "nested too deeply");
        open.push(c);
      } else if (")]}".includes(c)) {
        if (open.pop() !== { ")": "(", "]": "[", "}": "{" }[c]) {
          throw new UnreadableText(line, "brackets that do not match");
        }
      } else if (!"=!<>&|?:,.+-*/%~".includes(c)) {
        throw new UnreadableText(line, `a character that has no meaning here: ${JSON.stringify(c)}`);
      }
      const two = source.slice(at, at + 2);
      const text = ["==", "!=", "<=", ">=", "=>", "&&", "||", "::"].includes(two) ? two : c;
      found.push({ kind: "mark", text, line });
      at += text.length;
    }
  };

  const interpolation = (depth: number): readonly Token[] => {
    at += 2;
    if (source[at] === "~") at += 1;
    return tokens("}", depth);
  };

  const template = (end: '"' | "end", depth: number): readonly TemplatePart[] => {
    const parts: TemplatePart[] = [];
    let literal = "";
    const flush = (): void => {
      if (literal !== "") parts.push(literal);
      literal = "";
    };
    for (;;) {
      const c = source[at];
      if (c === undefined) {
        if (end === '"') throw new UnreadableText(line, "a text without an end");
        flush();
        return parts;
      }
      if (end === '"' && c === '"') {
        at += 1;
        flush();
        return parts;
      }
      if (end === '"' && c === "\n") throw new UnreadableText(line, "a text that goes over its line");
      if (end === '"' && c === "\\") {
        literal += readEscape();
        continue;
      }
      if ((c === "$" || c === "%") && source.startsWith(`${c}${c}{`, at)) {
        literal += `${c}{`;
        at += 3;
        continue;
      }
      if ((c === "$" || c === "%") && source[at + 1] === "{") {
        flush();
        parts.push(interpolation(depth + 1));
        continue;
      }
      if (c === "\n") line += 1;
      literal += c;
      at += 1;
    }
  };

  const readEscape = (): string => {
    const simple = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\" }[source[at + 1] ?? ""];
    if (simple !== undefined) {
      at += 2;
      return simple;
    }
    const hex = /\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/y;
    const found = match(hex);
    const code = Number.parseInt(found?.[1] ?? found?.[2] ?? "", 16);
    if (found === null || !(code <= 0x10ffff)) throw new UnreadableText(line, "an escape that is none");
    at += found[0].length;
    return String.fromCodePoint(code);
  };

  const readHeredoc = (word: string, depth: number): readonly TemplatePart[] => {
    const parts: TemplatePart[] = [];
    let literal = "";
    let lineStart = true;
    for (;;) {
      if (lineStart) {
        const end = source.indexOf("\n", at);
        const whole = source.slice(at, end < 0 ? source.length : end);
        // Go and JavaScript don't call the same characters blank; a line that is the end for one only is refused.
        const blanks = /^[ \t\r]*|[ \t\r]*$/g;
        if (whole.replace(blanks, "") !== word && whole.replaceAll(/[^\p{ID_Continue}-]/gu, "") === word) {
          if (/[^\x20-\x7e\t\r]/.test(whole.replace(word, "")))
            throw new UnreadableText(line, "a blank that is none");
        }
        if (whole.replace(blanks, "") === word) {
          at += whole.length;
          if (end >= 0) {
            at += 1;
            line += 1;
          }
          if (literal !== "") parts.push(literal);
          return parts;
        }
      }
      const c = source[at];
      if (c === undefined) throw new UnreadableText(line, `a text that ${word} does not end`);
      lineStart = c === "\n";
      if ((c === "$" || c === "%") && source.startsWith(`${c}${c}{`, at)) {
        literal += `${c}{`;
        at += 3;
        continue;
      }
      if ((c === "$" || c === "%") && source[at + 1] === "{") {
        if (literal !== "") parts.push(literal);
        literal = "";
        parts.push(interpolation(depth + 1));
        lineStart = false;
        continue;
      }
      if (c === "\n") line += 1;
      literal += c;
      at += 1;
    }
  };

  return { tokens, template };
}
