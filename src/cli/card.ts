import type { Digest } from "../base/digest.ts";
import { padTo, wrap, type Paint } from "../base/terminal.ts";
import { neutralise, type NeutraliseOptions, type TextFlag } from "../base/text.ts";

// The sheet an approval view is written on. Text that is not ours gets in by `theirs` alone, which neutralises it and
// keeps what was found for the banner (P3). Our labels stand at the left edge; whatever came from elsewhere is indented
// under a label or runs behind a gutter, so that it can't imitate a label.

export interface Card {
  readonly lines: readonly string[];
  /** What neutralising found so far. */
  readonly flags: ReadonlySet<TextFlag>;
  /** Makes foreign text safe to place. Once per text: doing it twice would show its markers as forged. */
  theirs(text: string, options?: NeutraliseOptions): string;
  /** The same, on one line. */
  line(text: string): string;
  blank(): void;
  /** A line of our own, painted as given. */
  own(text: string): void;
  /** `label      value`, wrapped under itself. `value` is neutral and unpainted. */
  field(label: string, value: string, paint?: (line: string) => string): void;
  /** A digest under a label, in two halves: whole, and yet comparable by eye. */
  digest(label: string, digest: Digest): void;
  /** A heading over evidence. */
  heading(text: string): void;
  /** Neutral text behind a gutter, whole, long lines continued behind `┊`. */
  quoted(text: string, paint?: (line: string) => string): void;
}

const LABEL = 12;
const MARGIN = "  ";

export function createCard(width: number, paint: Paint): Card {
  const lines: string[] = [];
  const flags = new Set<TextFlag>();
  const theirs = (text: string, options?: NeutraliseOptions): string => {
    const neutral = neutralise(text, options);
    for (const flag of neutral.flags) flags.add(flag);
    return neutral.text;
  };
  const room = width - MARGIN.length;
  const card: Card = {
    lines,
    flags,
    theirs,
    line: (text) => theirs(text, { lines: false }),
    blank: () => void lines.push(""),
    own: (text) => void lines.push(`${MARGIN}${text}`),
    field(label, value, painted = (line) => line) {
      const [first = "", ...rest] = wrap(value, room - LABEL);
      lines.push(`${MARGIN}${paint.dim(padTo(label, LABEL))}${painted(first)}`.trimEnd());
      for (const line of rest) lines.push(`${MARGIN}${" ".repeat(LABEL)}${painted(line)}`);
    },
    digest(label, digest) {
      const half = digest.length - 32;
      card.field(label, digest.slice(0, half));
      card.field("", `${" ".repeat("sha256:".length)}${digest.slice(half)}`);
    },
    heading(text) {
      const [first = "", ...rest] = wrap(text, room);
      lines.push(`${MARGIN}${paint.bold(first)}`, ...rest.map((line) => `${MARGIN}${paint.bold(line)}`));
    },
    quoted(text, painted = (line) => line) {
      for (const line of text.split("\n")) {
        const [first = "", ...rest] = wrap(line, room - 2);
        lines.push(`${MARGIN}${paint.dim("│")} ${painted(first)}`.trimEnd());
        // The colour of the whole line, not of what a piece of it happens to begin with.
        for (const piece of rest) lines.push(`${MARGIN}${paint.dim("┊")} ${paintLike(line, piece, painted)}`);
      }
    },
  };
  return card;
}

function paintLike(line: string, piece: string, painted: (line: string) => string): string {
  const whole = painted(line);
  const at = whole.indexOf(line);
  return at < 0 ? piece : `${whole.slice(0, at)}${piece}${whole.slice(at + line.length)}`;
}
