import { setImmediate } from "node:timers/promises";

// A snapshot of ten thousand held requests is megabytes: as one piece of text it would keep everything else waiting.

/** Characters of a piece, about: a few hundred microseconds of work. */
const PIECE = 128 * 1024;
/** So many items of a list are written at once. */
const ITEMS = 64;
/** Lists that may be long are members of members of members; what lies deeper is small. */
const DEEPEST = 4;

/**
 * The bytes of `JSON.stringify(value)`, in pieces. Others get their turn between them, so nothing of `value` may change
 * meanwhile.
 */
export async function jsonInTurns(value: unknown): Promise<readonly Buffer[]> {
  const pieces: Buffer[] = [];
  let waiting: string[] = [];
  let length = 0;
  const cut = (): void => {
    pieces.push(Buffer.from(waiting.join("")));
    waiting = [];
    length = 0;
  };
  for (const text of textsOf(value, 0)) {
    waiting.push(text);
    length += text.length;
    if (length < PIECE) continue;
    cut();
    await setImmediate();
  }
  cut();
  return pieces;
}

function* textsOf(value: unknown, depth: number): Iterable<string> {
  if (depth === DEEPEST || typeof value !== "object" || value === null || "toJSON" in value) {
    yield JSON.stringify(value);
  } else if (Array.isArray(value)) {
    yield "[";
    for (let i = 0; i < value.length; i += ITEMS) {
      yield (i === 0 ? "" : ",") + JSON.stringify(value.slice(i, i + ITEMS)).slice(1, -1);
    }
    yield "]";
  } else {
    let before = "{";
    for (const [name, member] of Object.entries(value)) {
      if (member === undefined) continue;
      yield `${before}${JSON.stringify(name)}:`;
      yield* textsOf(member, depth + 1);
      before = ",";
    }
    yield before === "{" ? "{}" : "}";
  }
}
