// Makes text from agents, repositories and backends safe to show, anywhere (P3).
//
//   N1. No character that a reader cannot see, or that acts instead of being shown, comes out raw.
//   N2. Nothing is silently dropped: what is not shown as itself is shown as a marker, `⟦U+202E⟧`, `⟦312 spaces⟧`.
//   N3. A marker can't be forged: the marker's own brackets in the input come out as markers themselves.
//   N4. One pass, linear in the input, whatever is in it.
//
// Known limit: a whole word in one look-alike script is not caught. Resource ids are therefore also shown as facts from
// the operator's registry.

/** What was found in a text, for the banner above it. Words an approver reads: see {@link FLAG_WORDS}. */
export type TextFlag = keyof typeof FLAG_WORDS;

/** Plain words for each flag. */
export const FLAG_WORDS = {
  blank_run: "long runs of blanks or blank lines",
  combining_run: "piled-up or stray combining marks",
  control: "control characters or terminal escapes",
  direction: "characters that change the reading direction",
  invisible: "invisible characters",
  lookalike: "letters that look like plain ones and are not",
  malformed: "broken Unicode",
  marker: "brackets that imitate our markers",
  mixed_script: "words that mix alphabets",
  odd_space: "blanks that are not spaces",
  right_to_left: "right-to-left script: the order on screen may differ from the order in the text",
  unassigned: "private-use or unassigned characters",
} as const;

export interface NeutraliseOptions {
  /** Keep line breaks; else they are markers too. Default true. */
  readonly lines?: boolean;
  /** Longest run of spaces shown as it is. Default 4. */
  readonly maxSpaces?: number;
  /** Longest run of spaces at the start of a line shown as it is, for code and diffs. Default: `maxSpaces`. */
  readonly maxIndent?: number;
}

export interface NeutralText {
  readonly text: string;
  /** Sorted, each once; empty for an unremarkable text. */
  readonly flags: readonly TextFlag[];
}

const MAX_BLANK_LINES = 2;
const MAX_MARKS = 3;

const LATIN = 1;
const OTHER_ALPHABETS: readonly (readonly [bit: number, name: string, script: RegExp])[] = [
  [2, "Cyrillic", /\p{Script=Cyrillic}/u],
  [4, "Greek", /\p{Script=Greek}/u],
  [8, "Armenian", /\p{Script=Armenian}/u],
  [16, "Cherokee", /\p{Script=Cherokee}/u],
];
const LATIN_LETTER = /\p{Script=Latin}/u;
const MARK = /\p{M}/u;
const LETTER_OR_DIGIT = /[\p{L}\p{N}]/u;
const DIRECTION = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;
// U+2800 is a letter-like symbol that every font draws as a blank.
const ODD_SPACE = /[\p{Zs}\p{Zl}\p{Zp}\u2800]/u;
const INVISIBLE = /[\p{Cf}\p{Default_Ignorable_Code_Point}\ufffc]/u;
const UNASSIGNED = /[\p{Co}\p{Cn}]/u;
const RIGHT_TO_LEFT =
  /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;

/** The visible stand-in for a code point: `⟦U+202E⟧`. */
const codeMarker = (code: number): string => `⟦U+${code.toString(16).toUpperCase().padStart(4, "0")}⟧`;

/**
 * Text that shows what is in it: control, format, private-use, unassigned, default-ignorable and odd-space characters
 * become markers; long runs of blanks and of combining marks are counted; words that mix Latin with Cyrillic, Greek,
 * Armenian or Cherokee are marked. Only `\n` stays of all control characters, and only with `lines`. A tab is `⇥`.
 *
 * @example
 * neutralise("rm \u202Egnp.exe").text; // "rm ⟦U+202E⟧gnp.exe"
 */
export function neutralise(text: string, options: NeutraliseOptions = {}): NeutralText {
  const keepLines = options.lines ?? true;
  const maxSpaces = options.maxSpaces ?? 4;
  const maxIndent = Math.max(maxSpaces, options.maxIndent ?? maxSpaces);
  const flags = new Set<TextFlag>();
  let out = "";
  let alphabets = 0;
  let marks = 0;
  /** Whether the last thing put out can carry a combining mark. */
  let base = false;

  const endWord = (): void => {
    if (alphabets > LATIN && (alphabets & LATIN) !== 0) {
      const others = OTHER_ALPHABETS.filter(([bit]) => (alphabets & bit) !== 0).map(([, name]) => name);
      out += `⟦mixes Latin and ${others.join(", ")}⟧`;
      flags.add("mixed_script");
    }
    alphabets = 0;
  };
  const endMarks = (): void => {
    if (marks > MAX_MARKS) {
      out += `⟦${marks - MAX_MARKS} more combining marks⟧`;
      flags.add("combining_run");
    }
    marks = 0;
  };

  for (let i = 0; i < text.length;) {
    const code = text.codePointAt(i) as number;
    const start = i;
    i += code > 0xffff ? 2 : 1;

    if (code === 0x20) {
      while (text.charCodeAt(i) === 0x20) i += 1;
      endMarks();
      endWord();
      base = false;
      const count = i - start;
      const lineStart = start === 0 || (keepLines && text.charCodeAt(start - 1) === 0x0a);
      if (count <= (lineStart ? maxIndent : maxSpaces)) out += " ".repeat(count);
      else {
        out += `⟦${count} spaces⟧`;
        flags.add("blank_run");
      }
      continue;
    }
    if (code === 0x0a && keepLines) {
      endMarks();
      endWord();
      base = false;
      const run = blankLines(text, i);
      if (run.count > MAX_BLANK_LINES) {
        out += `\n⟦${run.count} blank lines⟧\n`;
        flags.add("blank_run");
        i = run.end;
      } else out += "\n";
      continue;
    }
    if (code > 0x20 && code < 0x7f) {
      endMarks();
      if (isAsciiLetter(code)) alphabets |= LATIN;
      else if (!continuesWord(code)) endWord();
      out += text.charAt(start);
      base = true;
      continue;
    }

    const char = text.slice(start, i);
    if (code === 0x09) {
      endMarks();
      endWord();
      out += "⇥";
      base = false;
      continue;
    }
    const hidden = hiddenKind(code, char);
    if (hidden !== null) {
      // A hidden character does not end the word: "pay" and "раl" around a zero-width space are one word to the eye.
      endMarks();
      out += codeMarker(code);
      base = false;
      flags.add(hidden);
      continue;
    }
    if (MARK.test(char)) {
      marks += 1;
      if (!base) {
        out += codeMarker(code);
        marks = 0;
        flags.add("combining_run");
      } else if (marks <= MAX_MARKS) out += char;
      continue;
    }
    endMarks();
    if (LETTER_OR_DIGIT.test(char)) alphabets |= alphabetOf(char);
    else endWord();
    if ((code >= 0xff01 && code <= 0xff5e) || (code >= 0x1d400 && code <= 0x1d7ff)) flags.add("lookalike");
    if (RIGHT_TO_LEFT.test(char)) flags.add("right_to_left");
    out += char;
    base = true;
  }
  endMarks();
  endWord();
  return { text: out, flags: [...flags].sort() };
}

/** {@link neutralise} on one line, flags dropped: for names, codes and reasons inside a sentence of ours. */
export const neutralLine = (text: string): string => neutralise(text, { lines: false }).text;

function hiddenKind(code: number, char: string): TextFlag | null {
  if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return "control";
  if (code >= 0xd800 && code <= 0xdfff) return "malformed";
  // `⇥` is our own picture of a tab.
  if (code === 0x27e6 || code === 0x27e7 || code === 0x21e5) return "marker";
  if (DIRECTION.test(char)) return "direction";
  if (ODD_SPACE.test(char)) return "odd_space";
  if (INVISIBLE.test(char)) return "invisible";
  if (UNASSIGNED.test(char)) return "unassigned";
  return null;
}

/** Blank lines that begin at `from`, and where they end. Spaces on an otherwise empty line do not make it a line. */
function blankLines(text: string, from: number): { readonly count: number; readonly end: number } {
  let count = 0;
  let end = from;
  for (let i = from; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === 0x0a) {
      count += 1;
      end = i + 1;
    } else if (code !== 0x20) break;
  }
  return { count, end };
}

const isAsciiLetter = (code: number): boolean =>
  (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);

/** Digits and the joints of identifiers: `prod-ехport` is one word to the eye. */
const continuesWord = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x2e || code === 0x5f;

function alphabetOf(char: string): number {
  if (LATIN_LETTER.test(char)) return LATIN;
  for (const [bit, , script] of OTHER_ALPHABETS) if (script.test(char)) return bit;
  return 0;
}
