// Where records of a pack begin, by the first four bytes of their digest. Eight bytes a place, off the heap: a gateway
// with ten thousand held calls has as many thousand documents to find. Equal beginnings are told apart by who reads.

export interface OffsetTable {
  readonly count: number;
  add(prefix: number, offset: number): void;
  /** Every place added under this prefix, the newest last. */
  find(prefix: number): readonly number[];
  /** All of them, as `prefix << 32 | offset`, ascending. */
  sorted(): BigUint64Array;
}

const FIRST_ROOM = 64;

export function createOffsetTable(): OffsetTable {
  let room = FIRST_ROOM;
  /** Pairs of prefix and offset; no record begins at offset 0. */
  let pairs = new Uint32Array(room * 2);
  let count = 0;

  const put = (prefix: number, offset: number): void => {
    let at = prefix % room;
    while (pairs[at * 2 + 1] !== 0) at = (at + 1) % room;
    pairs[at * 2] = prefix;
    pairs[at * 2 + 1] = offset;
  };
  const grow = (): void => {
    const old = pairs;
    room *= 2;
    pairs = new Uint32Array(room * 2);
    for (let i = 0; i < old.length; i += 2) if (old[i + 1] !== 0) put(old[i] as number, old[i + 1] as number);
  };

  return {
    get count() {
      return count;
    },
    add(prefix, offset) {
      if (count * 3 >= room * 2) grow();
      put(prefix, offset);
      count += 1;
    },
    find(prefix) {
      const found: number[] = [];
      for (let at = prefix % room; pairs[at * 2 + 1] !== 0; at = (at + 1) % room) {
        if (pairs[at * 2] === prefix) found.push(pairs[at * 2 + 1] as number);
      }
      return found;
    },
    sorted() {
      const all = new BigUint64Array(count);
      let next = 0;
      for (let i = 0; i < pairs.length; i += 2) {
        const offset = pairs[i + 1] as number;
        if (offset !== 0) all[next++] = (BigInt(pairs[i] as number) << 32n) | BigInt(offset);
      }
      return all.sort();
    },
  };
}

/** The first four bytes of a digest. */
export const prefixOf = (digest: Buffer): number => digest.readUInt32BE(0);
