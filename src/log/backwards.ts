import type { Store, StoredLine } from "../store/store.ts";

/** So many lines are read at once; the log has no index, and needs none. */
const WINDOW = 1_000;

/**
 * Lines below `before`, newest first, at most `most` of them: what a search may cost is said by its caller, however long
 * the log is. The bytes of a line are the caller's to keep.
 */
export async function* linesBackwards(
  store: Pick<Store, "lines">,
  before: number,
  most: number,
): AsyncIterable<StoredLine> {
  let high = before;
  let left = most;
  while (high > 0 && left > 0) {
    const low = Math.max(0, high - Math.min(WINDOW, left));
    const window: StoredLine[] = [];
    for await (const line of store.lines(low)) {
      if (line.seq >= high) break;
      // The reader hands out views of its buffer.
      window.push({ seq: line.seq, bytes: new Uint8Array(line.bytes) });
    }
    left -= window.length;
    yield* window.reverse();
    high = low;
  }
}
