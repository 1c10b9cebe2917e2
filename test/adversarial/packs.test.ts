import { readdirSync, readFileSync, truncateSync, unlinkSync, writeFileSync, appendFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { isFault } from "../../src/errors.ts";
import type { BlobRef } from "../../src/request/action-request.ts";
import { createBlobStore, type EmbeddedBlobs } from "../../src/store/embedded/blobs.ts";
import { systemFiles, type Files } from "../../src/store/embedded/files.ts";
import type { NewBlob } from "../../src/store/store.ts";
import { requestAt } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";

// Several processes, failing disks and kills: does a document ever get lost to a reader, stay after it was erased, or
// keep a pack for ever?

let bed: EmbeddedBed;
const opened: EmbeddedBlobs[] = [];
const blobs = ({
  packBytes,
  files = systemFiles,
}: { packBytes?: number; files?: Files } = {}): EmbeddedBlobs => {
  const store = createBlobStore({
    ...{ files, blobsDir: join(bed.dir, "blobs"), keysDir: bed.keysDir },
    ...(packBytes === undefined ? {} : { packBytes }),
  });
  opened.push(store);
  return store;
};
const requests = [requestAt(0), requestAt(1)] as const;
const request = (n: 0 | 1): RequestId => requests[n];
const inDir = (dir: string, end = ".pack"): string[] => readdirSync(dir).filter((name) => name.endsWith(end));
const packsDir = (): string => join(bed.dir, "blobs", "packs");
const sealedDir = (): string => join(bed.keysDir, "sealed");
const view = (text: string): NewBlob => ({ tag: "view", bytes: Buffer.from(text), type: "text/plain" });
const plan = (text: string, n: 0 | 1): NewBlob => ({ ...view(text), tag: "plan", sealFor: request(n) });
const put = async (store: EmbeddedBlobs, blob: NewBlob): Promise<BlobRef> =>
  (await store.put([blob]))[0] as BlobRef;
const many = (store: EmbeddedBlobs, count: number, name: string): Promise<readonly BlobRef[]> =>
  store.put(Array.from({ length: count }, (_, i) => view(`${name} ${i}`)));
const gone = (error: unknown): boolean => isFault(error, "BLOB_MISSING");
const all = (): string =>
  inDir(packsDir())
    .map((name) => readFileSync(join(packsDir(), name), "latin1"))
    .join("");

beforeEach(async () => {
  bed = embeddedBed();
  await (await bed.open({ create: true })).close();
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  bed.remove();
});

/** The system's files, and which descriptors are open; a flush of a pack fails while `isBroken`. */
function watched(): Files & {
  readonly open_: Map<number, string>;
  readonly faults: string[];
  isBroken: boolean;
} {
  const open_ = new Map<number, string>();
  const faults: string[] = [];
  const files = {
    ...systemFiles,
    open_,
    faults,
    isBroken: false,
    open(path: string, flags: Parameters<Files["open"]>[1]) {
      const fd = systemFiles.open(path, flags);
      open_.set(fd, path);
      return fd;
    },
    close(fd: number) {
      if (!open_.delete(fd)) faults.push(`descriptor ${fd} was closed twice`);
      else systemFiles.close(fd);
    },
    flush(fd: number) {
      if (files.isBroken && open_.get(fd)?.endsWith(".pack") === true) {
        return Promise.reject(Object.assign(new Error("injected"), { code: "EIO" }));
      }
      return systemFiles.flush(fd);
    },
  };
  return files;
}

test("a reader finds what another process's newer index covers, and erases it", async () => {
  const first = blobs();
  const refs = await many(first, 600, "old");
  await first.close();
  expect(inDir(packsDir(), ".idx")).toHaveLength(1);
  const reader = blobs();
  await reader.salt(refs[0] as BlobRef);
  const second = blobs();
  await many(second, 6_000, "new");
  await second.close();
  for (const ref of refs) await reader.salt(ref);
  await reader.eraseRecords(refs);
  expect(all()).not.toContain("old 599");
});

test("a reader goes on where an index it knows is taken away", async () => {
  const first = blobs();
  const refs = await many(first, 600, "old");
  await first.close();
  const reader = blobs();
  await reader.salt(refs[0] as BlobRef);
  unlinkSync(join(packsDir(), inDir(packsDir(), ".idx")[0] as string));
  for (const ref of refs) expect(await reader.salt(ref)).toHaveLength(16);
});

test("a flush that fails for several at once: the descriptor is closed once, and nothing is written there again", async () => {
  const files = watched();
  const store = blobs({ files });
  await put(store, view("sound"));
  const before = inDir(packsDir());
  files.isBroken = true;
  const failed = await Promise.allSettled(Array.from({ length: 3 }, (_, i) => store.put([view(`${i}`)])));
  expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  files.isBroken = false;
  const size = readFileSync(join(packsDir(), before[0] as string)).length;
  await put(store, view("elsewhere"));
  expect(readFileSync(join(packsDir(), before[0] as string))).toHaveLength(size);
  await store.close();
  expect(files.faults).toEqual([]);
  expect([...files.open_.values()]).toEqual([]);
});

test("a flush that fails while a full pack is put away: nothing is closed twice, or read through a closed descriptor", async () => {
  const files = watched();
  const store = blobs({ files, packBytes: 100 });
  const sound = await put(store, view("sound".repeat(40)));
  files.isBroken = true;
  const wait = (await store.place([view("full".repeat(40))])).durable;
  const next = (await store.place([view("next".repeat(40))])).durable;
  await Promise.allSettled([wait, next]);
  files.isBroken = false;
  expect(Buffer.from(await store.get("view", sound)).toString()).toBe("sound".repeat(40));
  await put(store, view("last"));
  await store.close();
  expect(files.faults).toEqual([]);
  expect([...files.open_.values()]).toEqual([]);
});

test("a full sealed pack whose last key is erased while its writer rests goes once that writer has moved on (B9)", async () => {
  const [writer, steward] = [blobs({ packBytes: 20_000 }), blobs({ packBytes: 20_000 })];
  for (let i = 0; i < 10; i += 1) await put(writer, plan(`${i}`.repeat(2_000), 0));
  expect(inDir(sealedDir())).toHaveLength(1);
  await steward.eraseSealed(request(0));
  await put(writer, plan("another", 1));
  await writer.close();
  expect(inDir(sealedDir())).toHaveLength(2);
  expect(await steward.sealedRequests()).toEqual([request(1)]);
  expect(inDir(sealedDir())).toHaveLength(1);
});

test("a full record pack whose last document is erased while its writer rests goes once that writer has moved on (B8)", async () => {
  const [writer, steward] = [blobs({ packBytes: 20_000 }), blobs({ packBytes: 20_000 })];
  const refs = [];
  for (let i = 0; i < 10; i += 1) refs.push(await put(writer, view(`${i}`.repeat(2_000))));
  await steward.eraseRecords(refs);
  const kept = await put(writer, view("another"));
  await writer.close();
  const next = await put(writer, view("and one more"));
  await writer.close();
  await steward.eraseRecords([kept]);
  expect(inDir(packsDir())).toHaveLength(1);
  expect(await steward.salt(next)).toHaveLength(16);
});

test.each([
  ["half a head", () => Buffer.from("doc1\0\0\0")],
  ["zeros, as after a power cut", () => Buffer.alloc(5_000)],
  ["noise, as after a power cut", () => Buffer.alloc(5_000, 0xa7)],
])("a pack with %s at its end goes with its last document", async (_, tail) => {
  const store = blobs();
  const ref = await put(store, view("one"));
  await store.close();
  appendFileSync(join(packsDir(), inDir(packsDir())[0] as string), tail());
  const later = blobs();
  const kept = await put(later, view("two"));
  await later.eraseRecords([ref]);
  expect(inDir(packsDir())).toHaveLength(1);
  expect(await later.salt(kept)).toHaveLength(16);
});

test("an empty file that somebody died over goes too", async () => {
  const store = blobs();
  await put(store, plan("one", 0));
  await store.close();
  const path = join(sealedDir(), inDir(sealedDir())[0] as string);
  writeFileSync(path.replace("00000001", "00000002"), "");
  truncateSync(path.replace("00000001", "00000002"), 0);
  await blobs().sealedRequests();
  expect(inDir(sealedDir())).toHaveLength(1);
});

test("two that erase at the same time hinder each other in nothing", async () => {
  const writer = blobs();
  const refs = await many(writer, 4, "one");
  await put(writer, plan("sealed", 0));
  await writer.close();
  // The other removes each pack between this one's look at the directory and its opening.
  const other = blobs();
  let isRacing = false;
  const racing = blobs({
    files: {
      ...systemFiles,
      open(path, flags) {
        if (isRacing && path.endsWith(".pack")) unlinkSync(path);
        isRacing = false;
        return systemFiles.open(path, flags);
      },
    },
  });
  isRacing = true;
  await racing.eraseRecords(refs);
  isRacing = true;
  await racing.eraseSealed(request(0));
  await expect(other.salt(refs[0] as BlobRef)).rejects.toSatisfy(gone);
});

test("a document in a file of its own is found without a look at every pack", async () => {
  const writer = blobs({ packBytes: 1_000 });
  for (let i = 0; i < 30; i += 1) await put(writer, view(`${i}`.repeat(1_000)));
  const policy = await put(writer, { tag: "policy", bytes: Buffer.from("version: 1"), type: "text/yaml" });
  const large = await put(writer, view("x".repeat(100_000)));
  await writer.close();
  const files = watched();
  let opens = 0;
  const counting: Files = { ...files, open: (path, flags) => ((opens += 1), files.open(path, flags)) };
  const reader = blobs({ files: counting });
  await reader.get("policy", policy);
  await reader.get("view", large);
  await reader.salt(large);
  expect(opens).toBeLessThan(6);
});

test("what was written while a flush failed is not called durable by the next one", async () => {
  let fail: (() => void) | null = null;
  let isArmed = false;
  const files: Files = {
    ...systemFiles,
    flush: (fd) => {
      if (!isArmed) return systemFiles.flush(fd);
      isArmed = false;
      return new Promise((_, reject) => {
        fail = () => reject(Object.assign(new Error("injected"), { code: "EIO" }));
      });
    },
  };
  const store = blobs({ files });
  await put(store, view("sound"));
  isArmed = true;
  const first = (await store.place([view("first")])).durable;
  await expect.poll(() => fail).not.toBe(null);
  const second = (await store.place([view("second")])).durable;
  (fail as (() => void) | null)?.();
  const came = await Promise.allSettled([first, second]);
  expect(came.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
});

test("a disk that fails every flush is not filled with packs", async () => {
  const files = watched();
  const store = blobs({ files });
  files.isBroken = true;
  for (let i = 0; i < 40; i += 1) await expect(store.put([view(`${i}`)])).rejects.toThrow("injected");
  expect(inDir(packsDir()).length).toBeLessThan(10);
});

test("the steward's look for ended requests reads no key of an open one", async () => {
  const writer = blobs();
  const ids = Array.from({ length: 50 }, (_, i) => requestAt(i));
  for (const sealFor of ids) await put(writer, { ...view("sealed"), tag: "plan", sealFor });
  await writer.close();
  let reads = 0;
  const reader = blobs({
    files: {
      ...systemFiles,
      read(...given) {
        reads += 1;
        return systemFiles.read(...given);
      },
    },
  });
  const ended = ids[7] as RequestId;
  expect(await reader.sealedRequests((one) => one === ended)).toEqual([ended]);
  await reader.eraseSealed(ended);
  reads = 0;
  expect(await reader.sealedRequests((one) => one === ended)).toEqual([]);
  expect(reads).toBeLessThan(5);
  expect(await reader.sealedRequests()).toHaveLength(49);
});
