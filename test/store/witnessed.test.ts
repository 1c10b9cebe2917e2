import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createCheckpointSigner, createLogKey, type CheckpointSigner } from "../../src/log/checkpoint.ts";
import { systemFiles } from "../../src/store/embedded/files.ts";
import { readLogKey } from "../../src/store/embedded/keys.ts";
import { batchOf, staleDraft } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";

// What witnesses noted in the home can keep a log from opening. Only this log's own key can say so.

let bed: EmbeddedBed;
let signer: CheckpointSigner;
const SIZE = 6;
const OTHER_ROOT = `sha256:${"ab".repeat(32)}` as const;
const note = (name: string, text: string): void => {
  mkdirSync(join(bed.dir, "witnessed"), { recursive: true, mode: 0o700 });
  writeFileSync(join(bed.dir, "witnessed", name), text);
};
const reopen = async (): Promise<number> => {
  const store = await bed.open();
  const { size } = store.head();
  await store.close();
  return size;
};

beforeEach(async () => {
  bed = embeddedBed();
  const store = await bed.open({ create: true });
  for (let i = 1; i < SIZE; i += 1) await store.append(batchOf([staleDraft("policy", String(i))]));
  await store.close();
  const key = readLogKey(systemFiles, bed.keysDir);
  if (key === null) throw new Error("no key");
  signer = createCheckpointSigner({ key: key.privateKeyPem, logId: key.logId, isolation: "none" });
});
afterEach(() => bed.remove());

test("a checkpoint of this log, of any size that it had, keeps nobody out", async () => {
  note("00000001.checkpoint", readFileSync(join(bed.logDir, "checkpoint"), "utf8"));
  expect(await reopen()).toBe(SIZE);
});

test("one that saw more, or something else, does", async () => {
  for (const [size, root] of [
    [SIZE + 1, OTHER_ROOT],
    [SIZE, OTHER_ROOT],
    [2, OTHER_ROOT],
  ] as const) {
    note("00000001.checkpoint", signer.signCheckpoint(size, root));
    await expect(bed.open(), String(size)).rejects.toMatchObject({ code: "LOG_ROLLED_BACK" });
  }
  rmSync(join(bed.dir, "witnessed"), { recursive: true });
  expect(await reopen()).toBe(SIZE);
});

test("what this log's key did not sign says nothing: nobody can lock a home by putting a file there", async () => {
  const logId = readLogKey(systemFiles, bed.keysDir)?.logId;
  if (logId === undefined) throw new Error("no key");
  const stranger = createCheckpointSigner({ key: createLogKey(), logId, isolation: "none" });
  note("00000001.checkpoint", stranger.signCheckpoint(99, OTHER_ROOT));
  note("00000002.checkpoint", "not a note");
  note("00000003.checkpoint", "");
  note("other", signer.signCheckpoint(99, OTHER_ROOT));
  expect(await reopen()).toBe(SIZE);
});

test("a snapshot that saw more than there is keeps the log shut, also where the checkpoint is blank", async () => {
  const segment = join(bed.logDir, "000001.jsonl");
  writeFileSync(segment, `${readFileSync(segment, "utf8").split("\n").slice(0, -3).join("\n")}\n`);
  writeFileSync(join(bed.logDir, "checkpoint"), "");
  await expect(bed.open()).rejects.toMatchObject({
    code: "LOG_ROLLED_BACK",
    message: expect.stringContaining("state.json was written with 6"),
  });
  rmSync(join(bed.dir, "state.json"));
  expect(await reopen()).toBe(SIZE - 2);
});
