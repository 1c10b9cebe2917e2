import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import type { BlobRef } from "../../src/request/action-request.ts";
import { createBlobStore } from "../../src/store/embedded/blobs.ts";
import { systemFiles, type Files } from "../../src/store/embedded/files.ts";
import { requestAt } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";
import { faultyFiles, type FaultMode } from "../support/faulty-files.ts";

// Documents when any file call fails: what `put` returned is there, what `eraseSealed` returned from is gone, and
// anything else can be done again.

const MODES: readonly FaultMode[] = ["lost", "happened", "half", "dies", "died"];
const request = requestAt(1);
let bed: EmbeddedBed;
const blobs = (files: Files = systemFiles) =>
  createBlobStore({ files, blobsDir: join(bed.dir, "blobs"), keysDir: bed.keysDir });
const documents = [
  { tag: "view" as const, bytes: Buffer.from("what people see"), type: "text/plain" },
  { tag: "plan" as const, bytes: Buffer.from("SECRET-PLAN"), type: "text/plain", sealFor: request },
  { tag: "undo" as const, bytes: Buffer.from("SECRET-UNDO"), type: "text/plain", sealFor: request },
  // Large ones lie in files of their own.
  { tag: "inputs" as const, bytes: Buffer.alloc(70_000, "what people see"), type: "text/plain" },
  { tag: "file" as const, bytes: Buffer.alloc(70_000, "SECRET"), type: "text/plain", sealFor: request },
];

beforeEach(async () => {
  bed = embeddedBed();
  await (await bed.open({ create: true })).close();
});
afterEach(() => bed.remove());

async function expectReadable(refs: readonly BlobRef[]): Promise<void> {
  for (const [i, ref] of refs.entries()) {
    const { tag, bytes, sealFor } = documents[i] as (typeof documents)[number];
    expect(Buffer.from(await blobs().get(tag, ref, sealFor)).equals(bytes)).toBe(true);
  }
}

/** Every file below a directory. */
function filesBelow(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test.each(MODES)(
  "putting, with any call %s: durable when it resolves, and it can be put again",
  async (mode) => {
    const counted = faultyFiles();
    await blobs(counted).put(documents);
    for (const [at, call] of counted.calls.entries()) {
      bed.remove();
      bed = embeddedBed();
      await (await bed.open({ create: true })).close();
      const files = faultyFiles({ at, mode });
      const put = await blobs(files)
        .put(documents)
        .catch(() => null);
      files.bury();
      if (put !== null) await expectReadable(put);
      await blobs()
        .put(documents)
        .then(expectReadable, (error: unknown) => {
          throw new Error(`${mode} ${call}`, { cause: error });
        });
    }
  },
);

test.each(MODES)("erasing, with any call %s: gone when it resolves, and it can be finished", async (mode) => {
  await blobs().put(documents);
  const counted = faultyFiles();
  await blobs(counted).eraseSealed(request);
  for (const at of counted.calls.keys()) {
    const refs = await blobs().put(documents);
    const files = faultyFiles({ at, mode });
    const isErased = await blobs(files)
      .eraseSealed(request)
      .then(
        () => true,
        () => false,
      );
    files.bury();
    if (!isErased) await blobs().eraseSealed(request);
    for (const [i, ref] of refs.entries()) {
      const { tag, sealFor } = documents[i] as (typeof documents)[number];
      if (sealFor === undefined) continue;
      const read = blobs().get(tag, ref, request);
      await expect(read).rejects.toSatisfy((error) => isFault(error, "BLOB_MISSING"));
    }
    expect(existsSync(join(bed.keysDir, "requests", `${request}.key`))).toBe(false);
    expect(existsSync(join(bed.dir, "blobs", "sealed", request))).toBe(false);
  }
});

test.each(MODES)(
  "erasing records, with any call %s: gone when it resolves, and it can be finished",
  async (mode) => {
    const records = documents.map(({ tag, bytes, type }) => ({ tag, bytes, type }));
    const counted = faultyFiles();
    await blobs(counted).eraseRecords(await blobs().put(records));
    for (const at of counted.calls.keys()) {
      const refs = await blobs().put(records);
      const files = faultyFiles({ at, mode });
      const isErased = await blobs(files)
        .eraseRecords(refs)
        .then(
          () => true,
          () => false,
        );
      files.bury();
      if (!isErased) await blobs().eraseRecords(refs);
      for (const [i, ref] of refs.entries()) {
        const read = blobs().get(records[i]!.tag, ref);
        await expect(read).rejects.toSatisfy((error) => isFault(error, "BLOB_MISSING"));
      }
    }
  },
);

test("sealed documents stand nowhere in the clear, and their key never unwrapped", async () => {
  await blobs().put(documents);
  const everything = Buffer.concat(filesBelow(bed.dir).map((path) => readFileSync(path)));
  expect(everything.includes("SECRET")).toBe(false);
  expect(everything.includes("what people see")).toBe(true);
  for (const path of filesBelow(bed.dir))
    expect(systemFiles.stat(path)?.mode ?? 0).toSatisfy((mode: number) => (mode & 0o77) === 0);
});

test("a changed byte anywhere in a pack is noticed: what is read is what was stored, or an error (B2)", async () => {
  const small = documents.filter(({ bytes }) => bytes.length < 100);
  const refs = await blobs().put(small);
  const stored = (path: string): boolean => path.endsWith(".pack");
  for (const path of [...filesBelow(join(bed.dir, "blobs")), ...filesBelow(bed.keysDir)].filter(stored)) {
    const bytes = readFileSync(path);
    let noticed = 0;
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 0x40;
      writeFileSync(path, changed);
      for (const [i, ref] of refs.entries()) {
        const { tag, sealFor, bytes: expected } = small[i] as (typeof documents)[number];
        const read = await blobs()
          .get(tag, ref, sealFor)
          .catch((error: unknown) => error);
        if (read instanceof Error) {
          expect(isFault(read, "BLOB_CORRUPT") || isFault(read, "BLOB_MISSING"), String(read)).toBe(true);
          noticed += 1;
        } else expect(Buffer.from(read as Uint8Array).equals(expected)).toBe(true);
      }
    }
    expect(noticed).toBeGreaterThan(bytes.length / 2);
    writeFileSync(path, bytes);
  }
});

test("a changed byte anywhere in a document's own file is noticed (B2)", async () => {
  const refs = await blobs().put(documents);
  for (const [i, ref] of refs.entries()) {
    const { tag, sealFor } = documents[i] as (typeof documents)[number];
    const path = filesBelow(join(bed.dir, "blobs")).find((name) => name.endsWith(ref.digest.slice(7)));
    if (path === undefined) continue;
    const bytes = readFileSync(path);
    for (let at = 0; at < bytes.length; at += 997) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 0x40;
      writeFileSync(path, changed);
      await expect(blobs().get(tag, ref, sealFor)).rejects.toSatisfy((error) =>
        isFault(error, "BLOB_CORRUPT"),
      );
    }
    writeFileSync(path, bytes.subarray(0, -1));
    await expect(blobs().get(tag, ref, sealFor)).rejects.toSatisfy((error) => isFault(error, "BLOB_CORRUPT"));
  }
});

test("a full disk keeps none of them, wherever it fills up, and says so (STORE_FULL)", async () => {
  const counted = faultyFiles();
  await blobs(counted).put(documents);
  const writes = counted.calls.flatMap((call, at) => (call.startsWith("write") ? [at] : []));
  expect(writes.length).toBeGreaterThan(5);
  for (const at of writes) {
    bed.remove();
    bed = embeddedBed();
    await (await bed.open({ create: true })).close();
    const files = faultyFiles({ at, mode: "half", code: "ENOSPC" });
    const store = blobs(files);
    await expect(store.put(documents)).rejects.toSatisfy((error) => isFault(error, "STORE_FULL"));
    const left = filesBelow(join(bed.dir, "blobs"));
    expect(left.filter((path) => !path.endsWith(".pack"))).toEqual([]);
    expect(Buffer.concat(left.map((path) => readFileSync(path))).includes("what people see")).toBe(false);
    // There is room again, and what is stored now is found by everybody.
    const refs = await store.put(documents);
    await expectReadable(refs);
    files.bury();
  }
});
