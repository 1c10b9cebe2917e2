import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseVerifierKey } from "../../src/log/note.ts";
import { openCheckpoint } from "../../src/log/checkpoint.ts";
import { verifyLog } from "../../src/log/verify.ts";
import type { EmbeddedStore } from "../../src/store/embedded/embedded-store.ts";
import { batchOf } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";

// Does a new key take over in every process at the same entry, and does the old one sign nothing after it?

let bed: EmbeddedBed;
const opened: EmbeddedStore[] = [];
const open = async (create = false): Promise<EmbeddedStore> => {
  const store = await bed.open({ create });
  opened.push(store);
  return store;
};
const append = (store: EmbeddedStore): Promise<unknown> => {
  const data = { principal: "ana", agent: "claude", count: 1, limit: "held" };
  return store.append(batchOf([{ kind: "throttled", subject: "log", policy: null, data }]));
};
const signedBy = async (store: EmbeddedStore, vkey: string): Promise<boolean> => {
  const key = parseVerifierKey(vkey);
  return key.ok && openCheckpoint(await store.checkpoint(), key.value).ok;
};
beforeEach(() => {
  bed = embeddedBed();
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  bed.remove();
});

test("after a rotation the new key signs, also after a restart, with and without the snapshot", async () => {
  const store = await open(true);
  await append(store);
  const { from, to, seq } = await store.rotateKey(null);
  expect(seq).toBe(2);
  expect(store.rotations()).toEqual([2]);
  await append(store);
  expect(await signedBy(store, to)).toBe(true);
  expect(await signedBy(store, from)).toBe(false);
  await store.close();
  expect(existsSync(join(bed.keysDir, "log.key.next"))).toBe(false);
  for (const withSnapshot of [true, false]) {
    if (!withSnapshot) writeFileSync(join(bed.dir, "state.json"), "");
    const again = await open();
    expect(again.rotations()).toEqual([2]);
    await append(again);
    expect(await signedBy(again, to)).toBe(true);
    await again.close();
  }
  const report = await verifyLog(bed.logDir);
  expect(report.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
  expect(report.key).toBe(to);
});

test("another process that has the log open takes up the new key with its next look", async () => {
  const one = await open(true);
  const two = await open();
  await append(two);
  const { from, to } = await one.rotateKey(null);
  // It has not seen the rotation: it signs what it knows, with the key that was in force then.
  expect(await signedBy(two, from)).toBe(true);
  await append(two);
  expect(await signedBy(two, to)).toBe(true);
  expect(two.rotations()).toEqual(one.rotations());
  const third = await two.rotateKey(null);
  expect(third.from).toBe(to);
  await append(one);
  expect(await signedBy(one, third.to)).toBe(true);
  const report = await verifyLog(bed.logDir);
  expect(report.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
});

test("two rotations at once make one key, and the loser is told", async () => {
  const one = await open(true);
  const two = await open();
  const outcomes = await Promise.allSettled([one.rotateKey(null), two.rotateKey(null)]);
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  const lost = outcomes.find(({ status }) => status === "rejected") as PromiseRejectedResult;
  expect(lost.reason).toMatchObject({ code: "LOG_KEY_MISMATCH" });
  await Promise.all([append(one), append(two)]);
  expect(one.rotations()).toHaveLength(1);
  expect(two.rotations()).toEqual(one.rotations());
});

test("entries that wait together with a rotation are covered by the key that was in force for them", async () => {
  const store = await open(true);
  const appends = Array.from({ length: 20 }, () => append(store));
  const rotated = store.rotateKey(null);
  const more = Array.from({ length: 20 }, () => append(store));
  await Promise.all([...appends, rotated, ...more]);
  const report = await verifyLog(bed.logDir);
  expect(report.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
  await store.close();
  await open();
});

test("the old key put back is refused, and so is a log from before its rotation", async () => {
  const store = await open(true);
  await append(store);
  await store.close();
  const [old, log, checkpoint] = ["keys/log.key", "log/000001.jsonl", "log/checkpoint"].map((name) =>
    readFileSync(join(bed.dir, name)),
  ) as [Buffer, Buffer, Buffer];
  const again = await open();
  await again.rotateKey(null);
  await again.close();
  const next = readFileSync(join(bed.keysDir, "log.key"));
  writeFileSync(join(bed.keysDir, "log.key"), old);
  await expect(bed.open()).rejects.toMatchObject({ code: "LOG_KEY_MISMATCH" });
  writeFileSync(join(bed.keysDir, "log.key"), next);
  await (await bed.open()).close();
  writeFileSync(join(bed.logDir, "000001.jsonl"), log);
  writeFileSync(join(bed.logDir, "checkpoint"), checkpoint);
  await expect(bed.open()).rejects.toMatchObject({ code: "LOG_KEY_MISMATCH" });
});

test("a checkpoint by the old key over what came after its rotation is refused", async () => {
  const store = await open(true);
  await store.close();
  const { createCheckpointSigner } = await import("../../src/log/checkpoint.ts");
  const { readLogKey } = await import("../../src/store/embedded/keys.ts");
  const { systemFiles } = await import("../../src/store/embedded/files.ts");
  const old = readLogKey(systemFiles, bed.keysDir);
  if (old === null) throw new Error("no key");
  const again = await open();
  await again.rotateKey(null);
  await append(again);
  const { size, root } = again.head();
  await again.close();
  const thief = createCheckpointSigner({ key: old.privateKeyPem, logId: old.logId, isolation: "none" });
  writeFileSync(join(bed.logDir, "checkpoint"), thief.signCheckpoint(size, root));
  await expect(bed.open()).rejects.toMatchObject({ code: "LOG_ROLLED_BACK" });
  expect((await verifyLog(bed.logDir)).findings).toContainEqual(
    expect.objectContaining({ code: "checkpoint_invalid" }),
  );
});
