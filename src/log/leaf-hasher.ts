import { Worker } from "node:worker_threads";
import { createHashList, HASH_BYTES, putHash, type HashList } from "./hash-list.ts";
import { leafHashInPlace } from "./merkle.ts";

// Hashes the lines of a chunk, here or in a second thread. Two thirds of verifying a log is SHA-256 over its lines, and
// nothing else depends on when that happens: while one chunk is hashed, the other is read and judged.

/** Part of a log with the places of its lines. The byte before each line is 0, the prefix of its leaf. */
export interface Chunk {
  /** The whole of its memory. */
  readonly buffer: Buffer;
  /** Start and end of each line, in turn. */
  readonly bounds: Int32Array;
  /** The leaf of each line, once it is hashed. */
  readonly leaves: HashList;
  lines: number;
}

export interface LeafHasher {
  /** The chunks to read into, in turn. One is not touched between `start` and the end of its `finish`. */
  readonly chunks: readonly [Chunk, Chunk];
  start(chunk: Chunk): void;
  /** When it resolves, the leaf of each line is there. */
  finish(chunk: Chunk): Promise<void>;
  close(): Promise<void>;
}

/** Hashes lines of the chunk: by a view of the plain kind, which costs half of what a `Buffer` does. */
function hashLines({ buffer, bounds, leaves }: Chunk, from: number, to: number): void {
  const memory = buffer.buffer;
  for (let line = from; line < to; line += 1) {
    const start = (bounds[line * 2] as number) - 1;
    const end = bounds[line * 2 + 1] as number;
    putHash(leaves, line, leafHashInPlace(new Uint8Array(memory, start, end - start)));
  }
}

/** Hashes when asked, in the caller's thread. */
export function createLeafHasher(chunkBytes: number): LeafHasher {
  const chunk = (): Chunk => ({
    buffer: Buffer.allocUnsafeSlow(chunkBytes),
    bounds: new Int32Array(2 * (chunkBytes + 1)),
    leaves: createHashList(new ArrayBuffer((chunkBytes + 1) * HASH_BYTES)),
    lines: 0,
  });
  return {
    chunks: [chunk(), chunk()],
    start: () => undefined,
    finish(of) {
      hashLines(of, 0, of.lines);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}

/** Lines that a thread takes at once: enough that taking is cheap, few enough that both end together. */
const AT_ONCE = 16;

// Text and not a file, because the same module runs as source, as compiled files and inside a bundle, and in each of
// them a file would lie elsewhere. Nothing is put into it.
const HASHER = `
  const { hash } = require("node:crypto");
  const { parentPort, workerData } = require("node:worker_threads");
  const chunks = workerData.map(({ bytes, bounds, digests, claimed }) => ({
    bytes, bounds: new Int32Array(bounds), digests: Buffer.from(digests), claimed: new Int32Array(claimed),
  }));
  parentPort.on("message", ({ chunk, lines }) => {
    const { bytes, bounds, digests, claimed } = chunks[chunk];
    for (;;) {
      const first = Atomics.add(claimed, 0, ${AT_ONCE});
      if (first >= lines) break;
      for (let i = first; i < Math.min(first + ${AT_ONCE}, lines); i += 1) {
        const from = bounds[2 * i] - 1;
        const leaf = hash("sha256", new Uint8Array(bytes, from, bounds[2 * i + 1] - from), "latin1");
        digests.latin1Write(leaf, ${HASH_BYTES} * i, ${HASH_BYTES});
      }
    }
    parentPort.postMessage(chunk);
  });
`;

interface Shared {
  readonly chunk: Chunk;
  /** One number: the lines that were taken so far, by whichever thread. */
  readonly claimed: Int32Array;
  readonly memory: {
    readonly bytes: SharedArrayBuffer;
    readonly bounds: SharedArrayBuffer;
    readonly digests: SharedArrayBuffer;
    readonly claimed: SharedArrayBuffer;
  };
}

/**
 * Hashes in a second thread, and in the caller's what the second has not taken when the caller asks: so neither waits for
 * the other. In the caller's alone where that thread can't be had or ends.
 */
export function createThreadedLeafHasher(chunkBytes: number): LeafHasher {
  const shared = [share(chunkBytes), share(chunkBytes)] as const;
  const waiting: ((isHashed: boolean) => void)[] = [];
  const started: Promise<boolean>[] = [];
  let worker: Worker | null = null;
  const end = (): void => {
    worker = null;
    for (const answer of waiting.splice(0)) answer(false);
  };
  try {
    worker = new Worker(HASHER, { eval: true, workerData: shared.map(({ memory }) => memory) });
    worker.on("message", () => waiting.shift()?.(true));
    worker.on("error", end);
    worker.on("exit", end);
  } catch {
    // No thread is allowed here: everything is hashed in the caller's.
    worker = null;
  }
  const indexOf = (chunk: Chunk): 0 | 1 => (chunk === shared[0].chunk ? 0 : 1);
  return {
    chunks: [shared[0].chunk, shared[1].chunk],
    start(chunk) {
      const index = indexOf(chunk);
      const thread = worker;
      started[index] =
        thread === null ? Promise.resolve(false) : new Promise((resolve) => void waiting.push(resolve));
      Atomics.store(shared[index].claimed, 0, 0);
      thread?.postMessage({ chunk: index, lines: chunk.lines });
    },
    async finish(chunk) {
      const index = indexOf(chunk);
      if (worker !== null) hashRest(shared[index]);
      if ((await started[index]) !== true) hashLines(chunk, 0, chunk.lines);
    },
    async close() {
      await worker?.terminate();
    },
  };
}

function hashRest({ chunk, claimed }: Shared): void {
  for (;;) {
    const first = Atomics.add(claimed, 0, AT_ONCE);
    if (first >= chunk.lines) return;
    hashLines(chunk, first, Math.min(first + AT_ONCE, chunk.lines));
  }
}

function share(chunkBytes: number): Shared {
  const memory = {
    bytes: new SharedArrayBuffer(chunkBytes),
    bounds: new SharedArrayBuffer(2 * (chunkBytes + 1) * Int32Array.BYTES_PER_ELEMENT),
    digests: new SharedArrayBuffer((chunkBytes + 1) * HASH_BYTES),
    claimed: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
  };
  const chunk: Chunk = {
    buffer: Buffer.from(memory.bytes),
    bounds: new Int32Array(memory.bounds),
    leaves: createHashList(memory.digests),
    lines: 0,
  };
  return { chunk, claimed: new Int32Array(memory.claimed), memory };
}
