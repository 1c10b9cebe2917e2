import { Worker } from "node:worker_threads";
import { createHashList, HASH_BYTES, putDigest, type HashList } from "./hash-list.ts";

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
  readonly chunks: readonly [Chunk, Chunk, Chunk];
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
    putDigest(leaves, line, new Uint8Array(memory, start, end - start));
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
    chunks: [chunk(), chunk(), chunk()],
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

// What both threads know of a chunk: where it stands, the lines that were taken so far, and how many there are. The second
// thread touches a chunk only between TAKEN and LEFT, so the caller never waits for a thread that has not begun.
const [STATE, TAKEN_LINES, LINES] = [0, 1, 2];
const [CLOSED, OFFERED, TAKEN, LEFT] = [0, 1, 2, 3];

// Text and not a file, because the same module runs as source, as compiled files and inside a bundle, and in each of
// them a file would lie elsewhere. Nothing but numbers is put into it. Between chunks it sleeps, and ends when terminated.
const HASHER = `
  const { hash } = require("node:crypto");
  const { workerData } = require("node:worker_threads");
  const called = new Int32Array(workerData.called);
  const chunks = workerData.chunks.map(({ bytes, bounds, leaves, control }) => ({
    bytes, bounds: new Int32Array(bounds), leaves: new DataView(leaves), control: new Int32Array(control),
  }));
  const hashLines = ({ bytes, bounds, leaves, control }) => {
    const lines = control[${LINES}];
    for (;;) {
      const first = Atomics.add(control, ${TAKEN_LINES}, ${AT_ONCE});
      if (first >= lines) return;
      for (let i = first; i < Math.min(first + ${AT_ONCE}, lines); i += 1) {
        const from = bounds[2 * i] - 1;
        const leaf = hash("sha256", new Uint8Array(bytes, from, bounds[2 * i + 1] - from), "utf16le");
        for (let at = 0; at < ${HASH_BYTES / 2}; at += 2) {
          const word = leaf.charCodeAt(at) | (leaf.charCodeAt(at + 1) << 16);
          leaves.setInt32(${HASH_BYTES} * i + 2 * at, word, true);
        }
      }
    }
  };
  for (;;) {
    const seen = Atomics.load(called, 0);
    for (const chunk of chunks) {
      if (Atomics.compareExchange(chunk.control, ${STATE}, ${OFFERED}, ${TAKEN}) !== ${OFFERED}) continue;
      hashLines(chunk);
      Atomics.store(chunk.control, ${STATE}, ${LEFT});
      Atomics.notify(chunk.control, ${STATE});
    }
    Atomics.wait(called, 0, seen);
  }
`;

interface Shared {
  readonly chunk: Chunk;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly memory: {
    readonly bytes: SharedArrayBuffer;
    readonly bounds: SharedArrayBuffer;
    readonly leaves: SharedArrayBuffer;
    readonly control: SharedArrayBuffer;
  };
}

/** How long the caller sleeps before it looks whether the second thread is still there. */
const PATIENCE_MS = 200;

/**
 * Hashes in a second thread, and in the caller's what the second has not taken when the caller asks: so neither waits for
 * the other. In the caller's alone where that thread can't be had or ends.
 */
export function createThreadedLeafHasher(chunkBytes: number): LeafHasher {
  const shared = [share(chunkBytes), share(chunkBytes), share(chunkBytes)] as const;
  const called = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  let worker: Worker | null = null;
  const end = (): void => {
    worker = null;
  };
  try {
    const workerData = { called: called.buffer, chunks: shared.map(({ memory }) => memory) };
    worker = new Worker(HASHER, { eval: true, workerData });
    worker.on("error", end);
    worker.on("exit", end);
  } catch {
    // No thread is allowed here: everything is hashed in the caller's.
    worker = null;
  }
  const of = (chunk: Chunk): Shared => shared.find((each) => each.chunk === chunk) as Shared;
  return {
    chunks: [shared[0].chunk, shared[1].chunk, shared[2].chunk],
    start(chunk) {
      const { control } = of(chunk);
      control[LINES] = chunk.lines;
      Atomics.store(control, TAKEN_LINES, 0);
      Atomics.store(control, STATE, OFFERED);
      Atomics.add(called, 0, 1);
      Atomics.notify(called, 0);
    },
    async finish(chunk) {
      const { control } = of(chunk);
      hashRest(chunk, control);
      if (Atomics.compareExchange(control, STATE, OFFERED, CLOSED) === OFFERED) return;
      while (Atomics.load(control, STATE) === TAKEN) {
        if (Atomics.wait(control, STATE, TAKEN, PATIENCE_MS) !== "timed-out") continue;
        // Whether it ended is told in a turn of the event loop; what it had taken is then hashed here.
        await new Promise((resume) => setImmediate(resume));
        if (worker !== null) continue;
        hashLines(chunk, 0, chunk.lines);
        Atomics.store(control, STATE, CLOSED);
      }
    },
    async close() {
      await worker?.terminate();
    },
  };
}

function hashRest(chunk: Chunk, control: Int32Array): void {
  for (;;) {
    const first = Atomics.add(control, TAKEN_LINES, AT_ONCE);
    if (first >= chunk.lines) return;
    hashLines(chunk, first, Math.min(first + AT_ONCE, chunk.lines));
  }
}

function share(chunkBytes: number): Shared {
  const memory = {
    bytes: new SharedArrayBuffer(chunkBytes),
    bounds: new SharedArrayBuffer(2 * (chunkBytes + 1) * Int32Array.BYTES_PER_ELEMENT),
    leaves: new SharedArrayBuffer((chunkBytes + 1) * HASH_BYTES),
    control: new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT),
  };
  const chunk: Chunk = {
    buffer: Buffer.from(memory.bytes),
    bounds: new Int32Array(memory.bounds),
    leaves: createHashList(memory.leaves),
    lines: 0,
  };
  return { chunk, control: new Int32Array(memory.control), memory };
}
