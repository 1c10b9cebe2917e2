import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createWitness, type Witness } from "../../src/consent/channels/cli/witness.ts";
import { verifyConsistency } from "../support/reference-merkle.ts";
import { createScriptedHome, scriptedPolicy, type ScriptedHome } from "../support/scripted-home.ts";

// Would an approver's own memory notice a log that was rewritten or cut?

let dir: string;
let witness: Witness;
let home: ScriptedHome;
beforeEach(async () => {
  dir = join(await mkdtemp(join(tmpdir(), "countersign-seen-")), "state", "seen");
  witness = createWitness({ dir, verifyConsistency });
  home = createScriptedHome({ policy: scriptedPolicy({ people: [], groups: {} }) });
});
afterEach(() => rm(join(dir, "..", ".."), { recursive: true, force: true }));

test("the first sight is remembered, privately, and every longer log that extends it after that (W1)", async () => {
  for (let i = 0; i < 20; i += 1) {
    const looked = await witness.look(home.store);
    expect(looked.ok).toBe(true);
    if (looked.ok)
      expect(looked.value.head).toMatchObject({ size: home.store.head().size, root: home.store.head().root });
    home.grow(i % 4);
  }
  const file = join(dir, home.store.logId);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await stat(dir)).mode & 0o777).toBe(0o700);
  expect(await readdir(dir)).toEqual([home.store.logId]);
});

test("a log that lost its newest entry is refused, and the memory stays (W2)", async () => {
  home.grow(5);
  await witness.look(home.store);
  const before = await readFile(join(dir, home.store.logId), "utf8");
  home.rewrite("truncate");
  expect(await witness.look(home.store)).toMatchObject({ ok: false, error: { kind: "shorter" } });
  expect(await readFile(join(dir, home.store.logId), "utf8")).toBe(before);
});

test.each([0, 3])("a log with one changed entry is refused, also after it grew by %d (W2)", async (more) => {
  home.grow(5);
  await witness.look(home.store);
  home.rewrite("edit");
  home.grow(more);
  expect(await witness.look(home.store)).toMatchObject({ ok: false, error: { kind: "differs" } });
  expect(await witness.look(home.store)).toMatchObject({ ok: false, error: { kind: "differs" } });
});

test("a memory that can't be read fails closed: it is not the same as none", async () => {
  await witness.look(home.store);
  const file = join(dir, home.store.logId);
  for (const text of [
    "",
    "countersign.seen.v1\n5\n",
    "countersign.seen.v1\n-1\nsha256:00\n",
    `${await readFile(file, "utf8")}x`,
  ]) {
    await writeFile(file, text);
    await expect(witness.look(home.store)).rejects.toMatchObject({ code: "LOG_ROLLED_BACK" });
  }
});

test("logs are remembered apart", async () => {
  await witness.look(home.store);
  const other = { ...home.store, logId: "log_01KAKJT000000000000000000X" as const };
  expect(await witness.look(other)).toMatchObject({ ok: true, value: { since: null } });
});
