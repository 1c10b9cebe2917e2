import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { isFault } from "../../src/errors.ts";
import type { BlobRef } from "../../src/request/action-request.ts";
import { createBlobStore, type EmbeddedBlobs } from "../../src/store/embedded/blobs.ts";
import { createDocumentFiles } from "../../src/store/embedded/document-files.ts";
import { systemFiles } from "../../src/store/embedded/files.ts";
import { createOffsetTable } from "../../src/store/embedded/offset-table.ts";
import { findInIndex, readPackIndex, writePackIndex } from "../../src/store/embedded/pack-index.ts";
import type { NewBlob } from "../../src/store/store.ts";
import { digestBytes } from "../../src/base/digest.ts";
import { requestAt } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";

// Packs as a home sees them over time: many processes, restarts, full packs, damage, erasure, documents from before.

let bed: EmbeddedBed;
const opened: EmbeddedBlobs[] = [];
const blobs = (packBytes?: number): EmbeddedBlobs => {
  const store = createBlobStore({
    ...{ files: systemFiles, blobsDir: join(bed.dir, "blobs"), keysDir: bed.keysDir },
    ...(packBytes === undefined ? {} : { packBytes }),
  });
  opened.push(store);
  return store;
};
const requests = Array.from({ length: 8 }, (_, n) => requestAt(n));
const request = (n: number): RequestId => requests[n] as RequestId;
const inDir = (dir: string, end = ".pack"): string[] => readdirSync(dir).filter((name) => name.endsWith(end));
const packsDir = (): string => join(bed.dir, "blobs", "packs");
const sealedDir = (): string => join(bed.keysDir, "sealed");
const view = (text: string): NewBlob => ({ tag: "view", bytes: Buffer.from(text), type: "text/plain" });
const plan = (text: string, n: number): NewBlob => ({ ...view(text), tag: "plan", sealFor: request(n) });
const put = async (store: EmbeddedBlobs, blob: NewBlob): Promise<BlobRef> =>
  (await store.put([blob]))[0] as BlobRef;
const text = async (store: EmbeddedBlobs, ref: BlobRef, n?: number): Promise<string> =>
  Buffer.from(
    await store.get(n === undefined ? "view" : "plan", ref, n === undefined ? undefined : request(n)),
  ).toString();
const gone = (error: unknown): boolean => isFault(error, "BLOB_MISSING");

beforeEach(async () => {
  bed = embeddedBed();
  await (await bed.open({ create: true })).close();
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  bed.remove();
});

test("processes that come one after another go on with one pack; those at the same time have one each (B5)", async () => {
  const first = blobs();
  const refs = [await put(first, view("1"))];
  await first.close();
  const [second, third] = [blobs(), blobs()];
  refs.push(await put(second, view("2")), await put(third, view("3")));
  expect(inDir(packsDir())).toHaveLength(2);
  for (const store of [second, third, blobs()]) {
    expect(await Promise.all(refs.map((ref) => text(store, ref)))).toEqual(["1", "2", "3"]);
  }
});

test("a reader that was there before finds what is stored after it looked", async () => {
  const [writer, reader] = [blobs(), blobs()];
  for (let i = 0; i < 50; i += 1) {
    expect(await text(reader, await put(writer, view(`view ${i}`)))).toBe(`view ${i}`);
    expect(await text(reader, await put(writer, plan(`plan ${i}`, i % 7)), i % 7)).toBe(`plan ${i}`);
  }
});

test("a pack that is full is put away with an index, and everything is found in it", async () => {
  const store = blobs(200_000);
  const refs: BlobRef[] = [];
  for (let i = 0; i < 40; i += 1) {
    refs.push(...(await store.put(Array.from({ length: 50 }, (_, n) => view(`${i * 50 + n} `.repeat(60))))));
  }
  await store.close();
  expect(inDir(packsDir()).length).toBeGreaterThan(2);
  expect(inDir(packsDir(), ".idx").length).toBeGreaterThan(1);
  const later = blobs(200_000);
  for (const [i, ref] of refs.entries()) expect(await text(later, ref)).toBe(`${i} `.repeat(60));
  // An index is a cache: half of one, or none, costs time only.
  for (const [i, name] of inDir(packsDir(), ".idx").entries()) {
    const path = join(packsDir(), name);
    truncateSync(path, i % 2 === 0 ? 0 : Math.floor(statSync(path).size / 2));
  }
  const last = blobs(200_000);
  for (const ref of [refs[0], refs[777], refs.at(-1)] as BlobRef[]) await text(last, ref);
  expect(await text(last, await put(last, view("goes on")))).toBe("goes on");
});

test("an index finds every one of many digests, and says nothing of others", async () => {
  const table = createOffsetTable();
  const known = new Map<number, number[]>();
  const random = (n: number): number =>
    Buffer.from(digestBytes("view", Buffer.from(`${n}`)).slice(7, 15), "hex").readUInt32BE(0);
  for (let i = 1; i <= 20_000; i += 1) {
    // Every hundredth begins like the one before it.
    const prefix = random(i % 100 === 0 ? i - 1 : i);
    table.add(prefix, i * 16);
    known.set(prefix, [...(known.get(prefix) ?? []), i * 16]);
  }
  const path = join(bed.dir, "x.idx");
  await writePackIndex(systemFiles, path, 4_711, table);
  const { covers, count } = readPackIndex(systemFiles, path);
  expect({ covers, count }).toEqual({ covers: 4_711, count: 20_000 });
  for (const [prefix, offsets] of known) {
    expect(table.find(prefix)).toEqual(offsets);
    expect(findInIndex(systemFiles, path, covers, prefix)).toEqual(offsets);
  }
  for (const prefix of [0, 1, 2 ** 32 - 1, random(-1), random(-2)]) {
    if (!known.has(prefix)) expect(findInIndex(systemFiles, path, covers, prefix)).toEqual([]);
  }
});

test("a pack with a torn end, or another with damage inside, is read and never written again (B7)", async () => {
  const store = blobs();
  const refs = [
    await put(store, view("before")),
    await put(store, view("hit")),
    await put(store, view("behind")),
  ];
  await store.close();
  const [name] = inDir(packsDir()) as [string];
  const path = join(packsDir(), name);
  const whole = readFileSync(path);
  // In the head of the second record: where its length stands.
  const damaged = Buffer.from(whole);
  damaged[16 + 112 + 5] = (damaged[16 + 112 + 5] as number) ^ 1;
  for (const [bytes, lost] of [
    [Buffer.concat([whole, whole.subarray(16, 100)]), []],
    [damaged, [refs[1]]],
  ] as const) {
    writeFileSync(path, bytes);
    const after = blobs();
    for (const ref of refs) {
      if ((lost as readonly unknown[]).includes(ref)) await expect(text(after, ref)).rejects.toSatisfy(gone);
      else await text(after, ref);
    }
    const fresh = await put(after, view("fresh"));
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(await text(blobs(), fresh)).toBe("fresh");
    await after.close();
    for (const other of inDir(packsDir())) if (other !== name) writeFileSync(join(packsDir(), other), "");
  }
});

test("erasing leaves nothing of the bytes, and a pack goes with its last document (B8)", async () => {
  const store = blobs();
  const refs = [await put(store, view("SECRET-ONE")), await put(store, view("SECRET-TWO"))];
  await store.close();
  const other = blobs();
  await other.eraseRecords([refs[0] as BlobRef]);
  const [name] = inDir(packsDir()) as [string];
  const left = readFileSync(join(packsDir(), name));
  expect([left.includes("SECRET-ONE"), left.includes("SECRET-TWO")]).toEqual([false, true]);
  await expect(text(blobs(), refs[0] as BlobRef)).rejects.toSatisfy(gone);
  expect(await text(blobs(), refs[1] as BlobRef)).toBe("SECRET-TWO");
  // What an earlier attempt marked and did not get to the disk is overwritten again.
  await other.eraseRecords(refs);
  expect(inDir(packsDir())).toEqual([]);
});

test("a pack that somebody writes to stays, however empty it is", async () => {
  const [writer, eraser] = [blobs(), blobs()];
  const first = await put(writer, view("a"));
  await eraser.eraseRecords([first]);
  expect(inDir(packsDir())).toHaveLength(1);
  expect(await text(eraser, await put(writer, view("b")))).toBe("b");
});

test("sealed documents lie beside their keys, not beside the log's documents, and go with the last key (B9)", async () => {
  const store = blobs();
  const one = await put(store, plan("SECRET", 1));
  const two = await put(store, plan("SECRET", 2));
  expect(inDir(sealedDir())).toHaveLength(1);
  const everything = readFileSync(join(sealedDir(), inDir(sealedDir())[0] as string));
  expect(everything.includes("SECRET")).toBe(false);
  const other = blobs();
  const more = await put(other, plan("from another process", 1));
  expect(new Set(await store.sealedRequests())).toEqual(new Set([request(1), request(2)]));
  await store.close();
  await blobs().eraseSealed(request(1));
  for (const ref of [one, more]) await expect(text(blobs(), ref, 1)).rejects.toSatisfy(gone);
  expect(await text(blobs(), two, 2)).toBe("SECRET");
  expect(await blobs().sealedRequests()).toEqual([request(2)]);
  await other.close();
  await blobs().eraseSealed(request(2));
  expect(await blobs().sealedRequests()).toEqual([]);
  await blobs().eraseSealed(request(1));
  expect(inDir(sealedDir()).length).toBeLessThan(2);
});

test("a copy of yesterday's packs does not bring an erased request's documents back", async () => {
  const store = blobs();
  const ref = await put(store, plan("SECRET", 1));
  await store.close();
  mkdirSync(join(bed.dir, "copy"));
  for (const name of inDir(sealedDir())) copyFileSync(join(sealedDir(), name), join(bed.dir, "copy", name));
  await blobs().eraseSealed(request(1));
  await expect(text(blobs(), ref, 1)).rejects.toSatisfy(gone);
});

test("documents of a home from before packs are read, sealed, listed and erased as ever", async () => {
  const before = createDocumentFiles({
    files: systemFiles,
    blobsDir: join(bed.dir, "blobs"),
    keysDir: bed.keysDir,
  });
  const salt = Buffer.alloc(16, 9);
  const old = (tag: "view" | "plan", words: string, sealFor?: RequestId) => {
    const bytes = Buffer.from(words);
    const digest = digestBytes(tag, bytes, salt);
    return {
      ref: { digest, bytes: bytes.length, type: "text/plain" },
      document: { digest, salted: Buffer.concat([salt, bytes]), sealFor },
    };
  };
  const [record, secret] = [old("view", "old view"), old("plan", "old plan", request(3))];
  await before.write([record.document, secret.document]).durable;
  const store = blobs();
  const added = await put(store, plan("new plan", 3));
  expect(await text(store, record.ref)).toBe("old view");
  expect(await text(store, secret.ref, 3)).toBe("old plan");
  expect(await text(store, added, 3)).toBe("new plan");
  expect(await store.sealedRequests()).toEqual([request(3)]);
  await store.eraseSealed(request(3));
  await store.eraseRecords([record.ref]);
  await expect(text(store, record.ref)).rejects.toSatisfy(gone);
  for (const ref of [secret.ref, added]) await expect(text(store, ref, 3)).rejects.toSatisfy(gone);
});
