import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import { batchOf, staleDraft } from "../support/drafts.ts";
import { embeddedBed, openAt, type EmbeddedBed } from "../support/embedded-bed.ts";
import { faultyFiles } from "../support/faulty-files.ts";
import { auditLog, auditMessage } from "../support/store-audit.ts";

// The end of the log is cut at every byte of its last batch of three entries.

let bed: EmbeddedBed;
let root: string;
/** Length of the segment before the last batch and after it. */
let before: number;
let after: number;

const segment = (dir: string): string => join(dir, "log", "000001.jsonl");
const checkpoint = (dir: string): string => join(dir, "log", "checkpoint");

beforeAll(async () => {
  bed = embeddedBed();
  root = mkdtempSync(join(tmpdir(), "countersign-torn-"));
  const store = await bed.open({ create: true });
  const append = (batch: number, size: number) =>
    store.append(
      batchOf(
        Array.from({ length: size }, (_, i) => staleDraft("policy", auditMessage("w", batch, i, size))),
      ),
    );
  await append(0, 2);
  await append(1, 1);
  before = statSync(segment(bed.dir)).size;
  copyFileSync(checkpoint(bed.dir), join(root, "checkpoint-before"));
  await append(2, 3);
  after = statSync(segment(bed.dir)).size;
  await store.close();
  rmSync(join(bed.dir, "state.json"));
});
afterAll(() => {
  bed.remove();
  rmSync(root, { recursive: true });
});

/** A copy of the data directory, changed. */
async function withCopy(change: (dir: string) => void, use: (dir: string) => Promise<void>): Promise<void> {
  const dir = join(root, "copy");
  cpSync(bed.dir, dir, { recursive: true, preserveTimestamps: true });
  try {
    change(dir);
    await use(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const rolledBack = (error: unknown): boolean => isFault(error, "LOG_ROLLED_BACK");

test("an unacknowledged batch that is cut anywhere is gone as a whole (S1)", async () => {
  for (let length = before; length <= after; length += 1) {
    await withCopy(
      (dir) => {
        truncateSync(segment(dir), length);
        copyFileSync(join(root, "checkpoint-before"), checkpoint(dir));
      },
      async (dir) => {
        const { size, batches } = await auditLog(dir);
        expect([size, [...batches]], `cut at ${length - before}`).toEqual(
          length === after ? [7, ["w:0", "w:1", "w:2"]] : [4, ["w:0", "w:1"]],
        );
        expect(statSync(segment(dir)).size).toBe(length === after ? after : before);
      },
    );
  }
});

test("an acknowledged batch that is cut anywhere is missed, and the file is left as it was found", async () => {
  for (let length = before - 40; length < after; length += 7) {
    await withCopy(
      (dir) => truncateSync(segment(dir), length),
      async (dir) => {
        await expect(openAt(dir), `cut at ${length - before}`).rejects.toSatisfy(rolledBack);
        expect(statSync(segment(dir)).size).toBe(length);
      },
    );
  }
});

test("an end of zeroes, as a file system leaves it, is cut off", async () => {
  for (const length of [before, before + 1, before + 150, after - 1]) {
    await withCopy(
      (dir) => {
        truncateSync(segment(dir), length);
        truncateSync(segment(dir), after + 4_096);
        copyFileSync(join(root, "checkpoint-before"), checkpoint(dir));
      },
      async (dir) => expect((await auditLog(dir)).size).toBe(4),
    );
  }
});

test("another process's torn batch is cut off while running, and the next append stands in its place", async () => {
  await withCopy(
    () => undefined,
    async (dir) => {
      const store = await openAt(dir);
      const lines = readFileSync(segment(dir), "utf8").split("\n").slice(4, 7);
      const torn = lines.map((line, i) => line.replace(`"seq":${4 + i}`, `"seq":${7 + i}`)).join("\n");
      writeFileSync(segment(dir), torn, { flag: "a" });
      await store.catchUp();
      expect(store.head().size).toBe(7);
      expect(statSync(segment(dir)).size).toBe(after);
      const result = await store.append(batchOf([staleDraft("policy", auditMessage("w", 3, 0, 1))]));
      expect(result).toMatchObject({ ok: true, entries: [{ seq: 7 }] });
      await store.close();
      expect((await auditLog(dir)).size).toBe(8);
    },
  );
});

test("another process's acknowledged batch that lost its end is missed while running, and nothing is cut", async () => {
  await withCopy(
    () => undefined,
    async (dir) => {
      const store = await openAt(dir);
      const other = await openAt(dir);
      await other.append(batchOf([staleDraft("policy", auditMessage("o", 0, 0, 1))]));
      await other.close();
      const length = statSync(segment(dir)).size - 10;
      truncateSync(segment(dir), length);
      await expect(store.catchUp()).rejects.toSatisfy(rolledBack);
      expect(statSync(segment(dir)).size).toBe(length);
      expect(store.head().size).toBe(7);
      await store.close();
    },
  );
});

test("lines that nobody is known to have flushed are flushed before they count (J2)", async () => {
  await withCopy(
    () => undefined,
    async (dir) => {
      const files = faultyFiles();
      const store = await openAt(dir, { files });
      const flushes = (): number => files.calls.filter((call) => call.startsWith("flush 0")).length;
      const heard: number[] = [];
      store.follow((entries) => heard.push(...entries.map(({ seq }) => seq), -flushes()));

      // A living process flushes before its checkpoint, which says so.
      const other = await openAt(dir);
      await other.append(batchOf([staleDraft("policy", auditMessage("o", 0, 0, 1))]));
      await store.catchUp();
      expect(heard).toEqual([7, -0]);
      await other.close();

      const line = (readFileSync(segment(dir), "utf8").split("\n").at(-2) as string).replace(
        '"seq":7',
        '"seq":8',
      );
      writeFileSync(segment(dir), `${line.replace("o:0", "o:1")}\n`, { flag: "a" });
      await store.catchUp();
      expect(heard).toEqual([7, -0, 8, -1]);
      await store.close();
    },
  );
});

test("whole batches of a killed process count, though nobody was told of them", async () => {
  await withCopy(
    (dir) => copyFileSync(join(root, "checkpoint-before"), checkpoint(dir)),
    async (dir) => {
      const store = await openAt(dir);
      expect(store.head().size).toBe(7);
      expect(readFileSync(checkpoint(dir), "utf8")).toBe(await store.checkpoint());
      await store.close();
    },
  );
});
