import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import { fromHex, leafHash, type TreeHash } from "../../src/log/merkle.ts";
import { verifyConsistency, verifyInclusion } from "../../src/log/merkle-proof.ts";
import type { EmbeddedStore } from "../../src/store/embedded/embedded-store.ts";
import { batchOf, staleDraft } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";

// Tiles are a cache (T1, T2): whatever happens to them, proofs are right or refused.

const SIZE = 901;
let bed: EmbeddedBed;
let store: EmbeddedStore;
const level0 = (): string => join(bed.logDir, "tiles", "0");

beforeEach(async () => {
  bed = embeddedBed();
  store = await bed.open({ create: true });
  for (let left = SIZE - 1; left > 0; left -= 100) {
    await store.append(batchOf(Array.from({ length: 100 }, (_, i) => staleDraft("policy", `${left} ${i}`))));
  }
});
afterEach(async () => {
  await store.close();
  bed.remove();
});

const hashes = (proof: readonly string[]): TreeHash[] => proof.map((hex) => fromHex(hex) as TreeHash);
const root = async (size: number): Promise<TreeHash> =>
  fromHex((await store.rootAt(size)).slice(7)) as TreeHash;

async function expectProofs(): Promise<void> {
  for (const seq of [0, 100, 255, 256, 700, SIZE - 1]) {
    for await (const line of store.lines(seq)) {
      const proof = hashes(await store.inclusionProof(seq, SIZE));
      expect(verifyInclusion(seq, SIZE, leafHash(line.bytes), proof, await root(SIZE))).toBe(true);
      break;
    }
  }
  const proof = hashes(await store.consistencyProof(300, SIZE));
  expect(verifyConsistency(300, SIZE, await root(300), await root(SIZE), proof)).toBe(true);
}

const reopen = async (): Promise<void> => {
  await store.close();
  store = await bed.open();
};

test("full tiles lie on disk as 8 KiB records, byte for byte the hashes", async () => {
  const leaves: TreeHash[] = [];
  for await (const { bytes } of store.lines(0)) leaves.push(leafHash(bytes));
  expect(readFileSync(level0()).toString("latin1")).toBe(leaves.slice(0, 768).join(""));
  await expectProofs();
});

test.each<[string, () => void]>([
  ["gone", () => rmSync(join(bed.logDir, "tiles"), { recursive: true })],
  ["too short", () => truncateSync(level0(), 9_000)],
  ["empty", () => writeFileSync(level0(), "")],
  [
    "edited",
    () => {
      const bytes = readFileSync(level0());
      bytes[8_192 + 77] = (bytes[8_192 + 77] as number) ^ 1;
      writeFileSync(level0(), bytes);
    },
  ],
  ["another log's", () => writeFileSync(level0(), Buffer.alloc(3 * 8_192, 7))],
])("tiles that are %s are noticed and made again from the log", async (_, damage) => {
  const before = readFileSync(level0());
  await store.close();
  damage();
  store = await bed.open();
  await expectProofs();
  expect(readFileSync(level0()).equals(before)).toBe(true);
});

test("tiles are complete after a replay", async () => {
  await store.close();
  rmSync(join(bed.dir, "state.json"));
  rmSync(join(bed.logDir, "tiles"), { recursive: true });
  store = await bed.open();
  expect(existsSync(level0())).toBe(true);
  await expectProofs();
});

test("a line that was edited behind a snapshot is refused when it is proved, not papered over", async () => {
  await store.close();
  const segment = join(bed.logDir, "000001.jsonl");
  writeFileSync(segment, readFileSync(segment, "utf8").replace('"900 5"', '"900 6"'));
  rmSync(join(bed.logDir, "tiles"), { recursive: true });
  store = await bed.open();
  await expect(store.inclusionProof(3, SIZE)).rejects.toSatisfy((error) => isFault(error, "LOG_CORRUPT"));
});

test("proofs of older sizes stay what they were", async () => {
  const old = await store.inclusionProof(17, 500);
  await store.append(batchOf(Array.from({ length: 300 }, () => staleDraft("policy"))));
  await reopen();
  expect(await store.inclusionProof(17, 500)).toEqual(old);
});
