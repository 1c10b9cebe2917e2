import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import type { OpenedHome } from "../../src/compose.ts";
import { buildReceipt, formatReceipt, type Receipt } from "../../src/log/receipt.ts";
import { verifyLog, verifyReceipt } from "../../src/log/verify.ts";
import { loadPolicy } from "../../src/policy/load.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// The verifier shares no code with the engine that decides and writes. What a real home logs has to satisfy it.

let world: World;
afterEach(() => world.close());

const resolvePolicy = (text: Uint8Array): Receipt["policies"][number]["document"] => {
  const loaded = loadPolicy(new TextDecoder().decode(text), { file: "policy.yaml", tools: null });
  return loaded.ok ? loaded.value.document : null;
};
const receiptOf = (home: OpenedHome, requestId: RequestId): Promise<Receipt> =>
  buildReceipt({
    store: home.store,
    requestId,
    withBlobs: true,
    adoptions: home.adoption.sequence(),
    resolvePolicy,
  });
const keyOf = async (home: OpenedHome): Promise<string> => {
  for await (const { bytes } of home.store.lines(0)) {
    return (JSON.parse(Buffer.from(bytes).toString()) as { data: { key: string } }).data.key;
  }
  throw new Error("an empty log");
};

async function live(home: OpenedHome): Promise<void> {
  await callTool(home, "write_note", { book: "log", text: "hello" }, { holdMs: 5_000 });
  await callTool(home, "read_note", { book: "log" }, { holdMs: 5_000 });
  const unknown = { ...CALLER, agent: "ghost" };
  await callTool(home, "read_note", { book: "log" }, { caller: unknown, holdMs: 5_000 });
  await callTool(home, "write_note", { book: "log", text: "forbidden" });
  await callTool(home, "no_such_tool", {});
  await callTool(home, "open_door", { door: "front", seconds: 60 }, { holdMs: 5_000 });
  const one = ticketOf(
    await callTool(home, "write_note", { book: "ledger", text: "1", justification: "asked to" }),
  );
  const { size, root } = home.store.head();
  await decide(world, home, one, "ben", "approve", { log: { size, root } });
  const denied = ticketOf(
    await callTool(home, "write_note", { book: "ledger", text: "2", justification: "x" }),
  );
  await decide(world, home, denied, "chi", "deny");
  const two = ticketOf(await callTool(home, "write_note", { book: "safe", text: "3", justification: "x" }));
  await decide(world, home, two, "ana").catch(() => undefined);
  await decide(world, home, two, "ben");
  await decide(world, home, two, "dee");
  ticketOf(await callTool(home, "write_note", { book: "safe", text: "4", justification: "left waiting" }));
}

test("a real home's log verifies, and so does a receipt of each of its requests, offline and in another language", async () => {
  world = await makeWorld({ steward: true });
  const { home } = world;
  await live(home);
  const settled = ({ phase }: { phase: string }): boolean =>
    !["granted", "claimed", "dispatched"].includes(phase);
  await expect.poll(() => home.requests.list(50).every(settled), { timeout: 20_000 }).toBe(true);

  const key = await keyOf(home);
  const directory = join(world.settings.dataDir, "log");
  const report = await verifyLog(directory, { key });
  expect(report.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
  expect(report).toMatchObject({ ok: true, logId: home.store.logId });
  expect(report.decisions).toBeGreaterThanOrEqual(4);

  const phases: string[] = [];
  let saw = 0;
  for (const { id } of home.requests.list(50)) {
    const receipt = await receiptOf(home, id);
    const checked = verifyReceipt(formatReceipt(receipt), { trustedKeys: [key] });
    expect(
      checked.findings.filter(({ severity }) => severity === "fault"),
      id,
    ).toEqual([]);
    expect(checked.summary).toMatchObject({ request: id, isolation: "none" });
    for (const decision of checked.summary?.decisions ?? []) {
      expect(decision.ownerProved).toBe(true);
      saw += decision.sawLogOf ?? 0;
    }
    phases.push(checked.summary?.outcome.phase ?? "");
    const path = join(world.root, `${id}.json`);
    writeFileSync(path, formatReceipt(receipt));
    const script = fileURLToPath(new URL("../vectors/verify_receipt.py", import.meta.url));
    const python = spawnSync("python3", [script, path, key], { encoding: "utf8" });
    if (python.error === undefined) expect(python.stdout + python.stderr).toMatch(new RegExp(`^OK ${id}: `));
  }
  expect(saw).toBeGreaterThan(0);
  expect(new Set(phases)).toEqual(new Set(["done", "refused", "denied", "held"]));
});

test("a byte changed in a real log is found, with its place", async () => {
  world = await makeWorld();
  const { home } = world;
  await live(home);
  const key = await keyOf(home);
  await home.close();
  const directory = join(world.settings.dataDir, "log");
  const file = join(directory, "000001.jsonl");
  writeFileSync(file, readFileSync(file, "utf8").replace('"decision":"deny"', '"decision":"deni"'));
  const report = await verifyLog(directory, { key });
  expect(report.ok).toBe(false);
  expect(report.findings.map(({ code }) => code)).toEqual(
    expect.arrayContaining(["root_mismatch", "statement_mismatch"]),
  );
});
