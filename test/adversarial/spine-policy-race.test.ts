import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { verifyLog } from "../../src/log/verify.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import { holdTool } from "../support/held-tool.ts";
import { writeNote } from "../support/note-tools.ts";
import { BOOKS, callTool, makeWorld, type World } from "../support/world.ts";

// Can something be allowed, approved or run by a policy that was replaced while it was on its way?

let world: World;
afterEach(async () => {
  // Whatever was tried, the record of it verifies.
  const report = await verifyLog(join(world.settings.dataDir, "log"));
  await world.close();
  if (!report.ok) throw new Error(JSON.stringify(report.findings));
});

const HEAD = { head: "adopt: on_save" };

const adopt = async (change: (text: string) => string): Promise<void> => {
  const file = world.settings.policyFile;
  await writeFile(file, change(await readFile(file, "utf8")));
  expect(await world.home.adoption.checkFiles()).toBe("adopted");
};
const denyDemo = (text: string): string =>
  text.replace(
    "- id: demo-notes-are-free\n    match: { tool: write_note, environment: demo }\n    verdict: allow",
    "- id: demo-notes-are-closed\n    match: { tool: write_note, environment: demo }\n    verdict: deny",
  );

test("a deny rule adopted while the preview ran is obeyed, also when another process adopted it (P6, G2)", async () => {
  world = await makeWorld(HEAD);
  for (const same of [false, true]) {
    const { tool, latch } = holdTool(writeNote(world.notes, BOOKS), "preview");
    const slow = await world.open({ tools: [tool] });
    const call = callTool(slow, "write_note", { book: "log", text: `x${same}` }, { holdMs: 5_000 });
    await latch.reached;
    await adopt(denyDemo);
    // The fold of the slow process knows of it; whether the policy was loaded there makes no difference.
    await slow.store.catchUp();
    if (same) await slow.adoption.proposal();
    latch.release();
    expect(await call).toMatchObject({ status: "refused", code: "denied_by_policy" });
    expect(world.notes.runs).toEqual([]);
    await slow.close();
    await adopt((text) =>
      text
        .replace("demo-notes-are-closed", "demo-notes-are-free")
        .replace("environment: demo }\n    verdict: deny", "environment: demo }\n    verdict: allow"),
    );
  }
});

test("a principal disabled while the preview ran gets nothing, whatever the new verdict is (C1)", async () => {
  world = await makeWorld(HEAD);
  const { tool, latch } = holdTool(writeNote(world.notes, BOOKS), "preview");
  const slow = await world.open({ tools: [tool] });
  const call = callTool(slow, "write_note", { book: "log", text: "x" }, { holdMs: 5_000 });
  await latch.reached;
  await adopt((text) => text.replace("ana: { name: ana,", "ana: { name: ana, disabled: true,"));
  await slow.store.catchUp();
  latch.release();
  expect(await call).toMatchObject({ status: "refused", code: "unknown_requester" });
  expect(world.notes.runs).toEqual([]);
});

test("a call that waited behind an identical one is taken in under the policy of now (C1)", async () => {
  world = await makeWorld(HEAD);
  const { tool, latch } = holdTool(writeNote(world.notes, BOOKS), "preview");
  const slow = await world.open({ tools: [tool] });
  const first = callTool(slow, "write_note", { book: "ledger", text: "PREVIEW_FAILS" });
  await latch.reached;
  const second = callTool(slow, "write_note", { book: "ledger", text: "PREVIEW_FAILS" });
  await adopt((text) => text.replace("claude: { owners: [ana] }", "bard: { owners: [ana] }"));
  await slow.store.catchUp();
  latch.release();
  for (const reply of await Promise.all([first, second])) {
    expect(reply).toMatchObject({ status: "refused", code: "unknown_requester" });
  }
});

test("statements that nobody had to sign are verified, and not recorded as if they had been counted (P6)", async () => {
  world = await makeWorld(HEAD);
  const { home, keys } = world;
  const file = world.settings.policyFile;
  await writeFile(file, denyDemo(await readFile(file, "utf8")));
  const statement = await home.adoption.draft("dee");
  const signedWith = (signature = "") =>
    home.adoption.adopt([
      { statement, proof: { kind: "sshsig", signature, fingerprint: "", channel: "api" } },
    ]);
  await expect(signedWith("garbage")).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  await expect(
    signedWith(keys["eva"]?.sign(adoptionBytes(statement), ADOPTION_NAMESPACE)),
  ).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  expect((await home.store.newestEntries(1))[0]).not.toMatchObject({ data: { mode: "on_save" } });
  await signedWith(keys["dee"]?.sign(adoptionBytes(statement), ADOPTION_NAMESPACE));
  const [newest] = await home.store.newestEntries(1);
  expect(newest).toMatchObject({ kind: "policy.adopted", data: { mode: "on_save", statements: [] } });
});
