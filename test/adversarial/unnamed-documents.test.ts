import { existsSync, readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { OpenedHome } from "../../src/compose.ts";
import {
  isErased,
  PACK_HEAD,
  readHead,
  RECORD_HEAD_BYTES,
  recordBytes,
} from "../../src/store/embedded/pack-format.ts";
import { callTool, makeWorld, policyText, type World } from "../support/world.ts";

// Retention finds documents by the entries that name them. Is any document left that no entry names?

let world: World;
afterEach(() => world.close());

const HEAD = "adopt: on_save";
const rules = (verdict: string): string => `rules:
  - { id: notes, match: { tool: write_note }, verdict: ${verdict} }
`;

/** Digests of record documents that can be read. */
function kept(): readonly string[] {
  const directory = join(world.settings.dataDir, "blobs", "packs");
  const found: string[] = [];
  for (const name of existsSync(directory)
    ? readdirSync(directory).filter((one) => one.endsWith(".pack"))
    : []) {
    const bytes = readFileSync(join(directory, name));
    for (let at = PACK_HEAD.length; at < bytes.length;) {
      const head = readHead(bytes, at);
      if (head === null) throw new Error(`no record at ${at}`);
      if (!isErased(bytes.subarray(at + RECORD_HEAD_BYTES))) found.push(head.digest.toString("hex"));
      at += recordBytes(head.payloadBytes);
    }
  }
  return found;
}
const unnamed = (): readonly string[] => {
  const log = readFileSync(join(world.settings.dataDir, "log", "000001.jsonl"), "utf8");
  return kept().filter((digest) => !log.includes(digest));
};

async function moved(from: string, to: string): Promise<OpenedHome> {
  world = await makeWorld({ rules: rules(from), head: HEAD });
  const other = await world.open();
  await writeFile(world.settings.policyFile, policyText(world.keys, { rules: rules(to), head: HEAD }));
  await other.adoption.checkFiles();
  // This process has not been told yet: it stores its documents, and its entries are refused.
  return world.home;
}

test.each([
  ["allow", "deny"],
  ["hold", "allow"],
  ["deny", "hold"],
])("a policy that moves from %s to %s under a call leaves none of the first try", async (from, to) => {
  const home = await moved(from, to);
  await callTool(home, "write_note", { book: "ledger", text: "one" }, { holdMs: 5_000 });
  expect(kept().length).toBeGreaterThan(0);
  expect(unnamed()).toEqual([]);
});

test("the same call sent to several processes at once leaves those of one", async () => {
  world = await makeWorld({ rules: rules("hold"), head: HEAD });
  const homes = [world.home, await world.open(), await world.open()];
  const replies = await Promise.all(
    homes.map((home) => callTool(home, "write_note", { book: "ledger", text: "one" }, { holdMs: 0 })),
  );
  expect(
    new Set(replies.map((reply) => (reply.status === "pending" ? reply.ticket : reply.status))).size,
  ).toBe(1);
  expect(unnamed()).toEqual([]);
});
