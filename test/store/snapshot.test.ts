import { copyFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Entry } from "../../src/log/entry.ts";
import { countingFold, type CountingFold } from "../support/counting-fold.ts";
import { batchOf, requestAt, staleDraft, withdrawnDraft } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed, type OpenOptions } from "../support/embedded-bed.ts";

// state.json is a cache (N1, N2): with any of these, the same state is reached, by replay where need be.

let bed: EmbeddedBed;
const file = (): string => join(bed.dir, "state.json");

/** A fold that counts how many entries it was fed. */
function watchedFold(): { fold: CountingFold; fed: () => number } {
  const fold = countingFold();
  let fed = 0;
  const apply = fold.apply.bind(fold);
  fold.apply = (entry: Entry) => {
    fed += 1;
    apply(entry);
  };
  return { fold, fed: () => fed };
}

async function open(options: OpenOptions = {}): Promise<{ fed: number; state: unknown; head: unknown }> {
  const { fold, fed } = watchedFold();
  const store = await bed.open({ ...options, fold });
  const result = { fed: fed(), state: fold.snapshot(), head: store.head() };
  await store.close();
  return result;
}

const SIZE = 421;
let truth: Awaited<ReturnType<typeof open>>;

beforeEach(async () => {
  bed = embeddedBed();
  const store = await bed.open({ create: true, segmentBytes: 20_000 });
  for (let i = 0; i < 140; i += 1) {
    const request = requestAt(Date.now());
    const last =
      i % 3 === 0 ? withdrawnDraft(request) : staleDraft(request, "", [{ key: `k${i}`, until: null }]);
    await store.append(batchOf([staleDraft(request), staleDraft("policy", `${i}`), last]));
  }
  await store.close();
  truth = await open();
});
afterEach(() => bed.remove());

test("with a snapshot nothing is replayed", () => {
  expect(truth).toMatchObject({ fed: 0, head: { size: SIZE } });
});

test("closing writes it only where it would say something new", async () => {
  const inode = (): number => statSync(file()).ino;
  const before = inode();
  await open();
  expect(inode()).toBe(before);

  const store = await bed.open();
  await store.append(batchOf([staleDraft("policy")]));
  await store.writeSnapshot();
  const between = inode();
  await store.close();
  expect(inode()).toBe(between);

  const other = await bed.open();
  await other.append(batchOf([staleDraft("policy")]));
  await other.close();
  expect(inode()).not.toBe(between);
  expect(await open()).toMatchObject({ fed: 0, head: { size: SIZE + 2 } });

  writeFileSync(file(), "torn");
  expect((await open()).fed).toBe(SIZE + 2);
  expect((await open()).fed).toBe(0);
});

test("what another process wrote meanwhile is in it", async () => {
  const store = await bed.open();
  const other = await bed.open();
  await other.append(batchOf([staleDraft("policy")]));
  await store.catchUp();
  await store.close();
  expect(await open()).toMatchObject({ fed: 0, head: { size: SIZE + 1 } });
  await other.close();
});

test("what was written after the snapshot is replayed", async () => {
  const old = readFileSync(file());
  const store = await bed.open();
  for (let i = 0; i < 5; i += 1) await store.append(batchOf([staleDraft("policy")]));
  await store.close();
  writeFileSync(file(), old);
  const { fed, head } = await open();
  expect(fed).toBe(5);
  expect(head).toEqual(store.head());
});

test.each<[string, (text: string) => string]>([
  ["empty", () => ""],
  ["torn", (text) => text.slice(0, text.length / 2)],
  ["all zeroes", (text) => "\0".repeat(text.length)],
  ["not ours", () => '{"size":1}'],
  ["edited", (text) => text.replace('"total":421', '"total":422')],
  ["of an unknown version", (text) => text.replace('"v":1', '"v":9')],
])("one that is %s is left aside and the log replayed", async (_, damage) => {
  const text = readFileSync(file(), "utf8");
  expect(damage(text)).not.toBe(text);
  writeFileSync(file(), damage(text));
  const replayed = await open();
  expect(replayed.fed).toBe(SIZE);
  expect(replayed.state).toEqual(truth.state);
  expect(replayed.head).toEqual(truth.head);
});

test("one of another release is left aside: it may fold differently", async () => {
  expect((await open({ release: "2.0.0" })).fed).toBe(SIZE);
  expect((await open({ release: "2.0.0" })).fed).toBe(0);
  expect((await open()).fed).toBe(SIZE);
});

test("one of another log is left aside", async () => {
  const other = embeddedBed();
  await (await other.open({ create: true })).close();
  copyFileSync(join(other.dir, "state.json"), file());
  expect((await open()).fed).toBe(SIZE);
  other.remove();
});

test("one that is ahead of a log is left aside, and the checkpoint decides", async () => {
  const last = readdirSync(bed.logDir)
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .at(-1) as string;
  const segment = join(bed.logDir, last);
  writeFileSync(segment, readFileSync(segment, "utf8").split("\n").slice(0, -4).join("\n") + "\n");
  await expect(bed.open()).rejects.toMatchObject({ code: "LOG_ROLLED_BACK" });
});

test("a fold that cannot take it up is replayed from nothing", async () => {
  const { fold, fed } = watchedFold();
  const restore = fold.restore.bind(fold);
  let refused = 0;
  fold.restore = (snapshot) => {
    restore(snapshot);
    if (refused++ === 0) throw new Error("half way through");
  };
  const store = await bed.open({ fold });
  expect(fed()).toBe(SIZE);
  expect(fold.snapshot()).toEqual(truth.state);
  await store.close();
});

test("it is taken between groups, however busy the store is", async () => {
  const store = await bed.open();
  const appends = Array.from({ length: 300 }, () => store.append(batchOf([staleDraft("policy")])));
  await Promise.all([store.writeSnapshot(), ...appends, store.writeSnapshot()]);
  await store.writeSnapshot();
  const { fed, head } = await open();
  expect(fed).toBe(0);
  expect(head).toEqual(store.head());
  await store.close();
});

test("no temporary file is left behind", () => {
  expect(existsSync(file())).toBe(true);
  expect(readdirSync(bed.dir).filter((name) => name.includes(".tmp"))).toEqual([]);
});
