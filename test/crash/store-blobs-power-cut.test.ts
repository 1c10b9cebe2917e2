import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import type { BlobRef } from "../../src/request/action-request.ts";
import { createBlobStore } from "../../src/store/embedded/blobs.ts";
import { systemFiles, type Files } from "../../src/store/embedded/files.ts";
import type { NewBlob } from "../../src/store/store.ts";
import { requestAt } from "../support/drafts.ts";
import { embeddedBed } from "../support/embedded-bed.ts";
import { powerCutFiles, type CutState } from "../support/power-cut-files.ts";

// Power fails after any single file call while documents are stored. What was not flushed is there, or not, or in part.

/** Park and Miller's generator: the same cuts in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return (state - 1) / 2_147_483_646;
  };
}

const CUTS_PER_CALL = 4;
const plan = (text: string, at: number, request = requestAt(at)): NewBlob[] => [
  { tag: "view", bytes: Buffer.from(`view ${text}`), type: "text/plain" },
  { tag: "plan", bytes: Buffer.from(`plan ${text}`), type: "text/plain", sealFor: request },
  { tag: "inputs", bytes: Buffer.from(`inputs ${text}`), type: "text/plain", sealFor: request },
  // Large ones lie in files of their own.
  { tag: "reasoning", bytes: Buffer.alloc(66_000, `r ${text}`), type: "text/plain" },
  { tag: "file", bytes: Buffer.alloc(66_000, `f ${text}`), type: "text/plain", sealFor: request },
];

test("no document that was said to be durable is lost or half there, wherever power fails (B1, L1)", async () => {
  const bed = embeddedBed();
  await (await bed.open({ create: true })).close();
  const random = seeded(20_261_122);
  const durable: { wanted: NewBlob; ref: BlobRef }[] = [];
  const states: { state: CutState; durable: number; at: number }[] = [];
  let calls = 0;
  const files = powerCutFiles(bed.dir, (self) => {
    calls += 1;
    for (let i = 0; i < CUTS_PER_CALL; i += 1) {
      states.push({ state: self.cut(random), durable: durable.length, at: calls });
    }
  });
  const storeIn = (dir: string, on: Files): ReturnType<typeof createBlobStore> =>
    createBlobStore({ files: on, blobsDir: join(dir, "blobs"), keysDir: join(dir, "keys") });

  const blobs = storeIn(bed.dir, files);
  const keep = async (wanted: NewBlob[]): Promise<void> => {
    const placed = await blobs.place(wanted);
    await placed.durable;
    durable.push(...wanted.map((each, i) => ({ wanted: each, ref: placed.refs[i] as BlobRef })));
  };
  await keep(plan("alone", 1));
  await Promise.all([keep(plan("beside", 2)), keep(plan("each other", 3))]);
  // More of a request whose key is there already, from a process that did not make it.
  const other = storeIn(bed.dir, files);
  const more = plan("later", 1);
  const refs = await other.put(more);
  durable.push(...more.map((wanted, i) => ({ wanted, ref: refs[i] as BlobRef })));
  expect(durable).toHaveLength(20);
  expect(states.length).toBeGreaterThan(100);

  const root = mkdtempSync(join(tmpdir(), "countersign-power-"));
  for (const [i, { state, durable: count, at }] of states.entries()) {
    const dir = join(root, `cut-${i}`);
    mkdirSync(dir, { mode: 0o700 });
    state.writeTo(dir);
    const after = storeIn(dir, systemFiles);
    for (const { wanted, ref } of durable.slice(0, count)) {
      const read = await after.get(wanted.tag, ref, wanted.sealFor).catch((cause: unknown) => {
        throw new Error(`${Buffer.from(wanted.bytes).toString()}, cut ${i} after call ${at}`, { cause });
      });
      expect(Buffer.from(read).equals(wanted.bytes)).toBe(true);
    }
    // One that was not is there whole, or is known not to be; and its request can be erased like any other.
    for (const { wanted, ref } of durable.slice(count)) {
      const read = await after.get(wanted.tag, ref, wanted.sealFor).catch((error: unknown) => error);
      if (read instanceof Error) {
        expect(isFault(read, "BLOB_MISSING") || isFault(read, "BLOB_CORRUPT"), String(read)).toBe(true);
      } else expect(Buffer.from(read as Uint8Array).equals(wanted.bytes)).toBe(true);
    }
    for (const request of await after.sealedRequests()) await after.eraseSealed(request);
    expect(await after.sealedRequests()).toEqual([]);
    rmSync(dir, { recursive: true });
  }
  rmSync(root, { recursive: true });
  bed.remove();
});

test("wherever power fails while documents are erased, erasing again leaves nothing of them and all others (B8, B9)", async () => {
  const bed = embeddedBed();
  await (await bed.open({ create: true })).close();
  const random = seeded(20_261_130);
  const storeIn = (dir: string, on: Files): ReturnType<typeof createBlobStore> =>
    createBlobStore({ files: on, blobsDir: join(dir, "blobs"), keysDir: join(dir, "keys") });
  const before = storeIn(bed.dir, systemFiles);
  const [going, staying] = [plan("GOING", 1), plan("STAYING", 2)];
  const [gone, stay] = [await before.put(going), await before.put(staying)];
  await before.close();
  const records = gone.filter((_, i) => going[i]?.sealFor === undefined);
  const states: CutState[] = [];
  const files = powerCutFiles(bed.dir, (self) => {
    for (let i = 0; i < CUTS_PER_CALL; i += 1) states.push(self.cut(random));
  });
  const eraser = storeIn(bed.dir, files);
  await eraser.eraseRecords(records);
  await eraser.eraseSealed(requestAtOf(going));
  expect(states.length).toBeGreaterThan(30);

  const root = mkdtempSync(join(tmpdir(), "countersign-power-"));
  for (const [i, state] of states.entries()) {
    const dir = join(root, `cut-${i}`);
    mkdirSync(dir, { mode: 0o700 });
    state.writeTo(dir);
    const after = storeIn(dir, systemFiles);
    await after.eraseRecords(records);
    await after.eraseSealed(requestAtOf(going));
    for (const [n, ref] of gone.entries()) {
      const { tag, sealFor } = going[n] as NewBlob;
      await expect(after.get(tag, ref, sealFor), `cut ${i}`).rejects.toSatisfy((error) =>
        isFault(error, "BLOB_MISSING"),
      );
    }
    for (const [n, ref] of stay.entries()) {
      const { tag, sealFor, bytes } = staying[n] as NewBlob;
      expect(Buffer.from(await after.get(tag, ref, sealFor)).equals(bytes), `cut ${i}`).toBe(true);
    }
    const left = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
    const everything = Buffer.concat(left.map((one) => readFileSync(join(one.parentPath, one.name))));
    expect(everything.includes("view GOING"), `cut ${i}`).toBe(false);
    await after.close();
    rmSync(dir, { recursive: true });
  }
  rmSync(root, { recursive: true });
  bed.remove();
});

const requestAtOf = (blobs: readonly NewBlob[]): NonNullable<NewBlob["sealFor"]> =>
  blobs.find(({ sealFor }) => sealFor !== undefined)?.sealFor as NonNullable<NewBlob["sealFor"]>;
