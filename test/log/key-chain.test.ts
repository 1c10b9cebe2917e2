import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { createCheckpointSigner, createLogKey, originOf } from "../../src/log/checkpoint.ts";
import { extendChain, openWithChain, startChain, type KeyChain } from "../../src/log/key-chain.ts";
import { buildReceipt, type Receipt } from "../../src/log/receipt.ts";
import { verifyLog, verifyReceipt } from "../../src/log/verify.ts";
import { createStory, LOG_ID, requestId, type Story } from "../support/log-story.ts";
import { signNote } from "../../src/log/note.ts";

// A log whose key was replaced twice: who may trust what with which of its three keys?

const place = mkdtempSync(join(tmpdir(), "countersign-chain-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));
const script = fileURLToPath(new URL("../vectors/verify_receipt.py", import.meta.url));
const hasPython = spawnSync("python3", ["--version"]).error === undefined;
if (!hasPython && process.env["COUNTERSIGN_TARGETS"] === "required")
  throw new Error("python3 is not installed");
const python = (...args: string[]): string => {
  const done = spawnSync("python3", [script, ...args], { encoding: "utf8" });
  return (done.stdout + done.stderr).trim().split("\n").at(-1) as string;
};

const secrets = [createLogKey(), createLogKey()] as const;
function rotatedStory(): { story: Story; keys: string[] } {
  const story = createStory();
  story.open();
  const keys = [story.log.signer.vkey];
  story.approvedRequest(requestId(1));
  story.log.rotate(secrets[0]);
  keys.push(story.log.signer.vkey);
  story.allowedRequest(requestId(2));
  story.log.rotate(secrets[1]);
  keys.push(story.log.signer.vkey);
  story.allowedRequest(requestId(3));
  return { story, keys };
}
const { story, keys } = rotatedStory();
const receiptOf = (request = requestId(1)): Promise<Receipt> =>
  buildReceipt({
    store: story.log.store,
    requestId: request,
    withBlobs: true,
    resolvePolicy: (text) => JSON.parse(Buffer.from(text).toString()),
  });
const chain = (): KeyChain => {
  const started = startChain(keys[0] as string, LOG_ID);
  if (!started.ok) throw new Error(started.error);
  let known = started.value;
  for (const [seq, line] of story.log.lines.entries()) {
    const entry = JSON.parse(line);
    if (entry.kind !== "log.key_rotated") continue;
    const extended = extendChain(known, entry.data, seq);
    if (!extended.ok) throw new Error(extended.error);
    known = extended.value.chain;
  }
  return known;
};

test("the log and its receipts verify with any key that the log has had", async () => {
  const directory = join(place, "log");
  story.log.writeTo(directory);
  for (const key of keys) {
    const report = await verifyLog(directory, { key });
    expect(report.findings).toEqual([]);
    expect(report.key).toBe(keys[2]);
    for (const request of [1, 2, 3].map(requestId)) {
      const receipt = await receiptOf(request);
      expect(verifyReceipt(receipt, { trustedKeys: [key] }).findings).toEqual([]);
    }
  }
});

test("a second verifier, in another language, follows the keys too", async (context) => {
  if (!hasPython) return context.skip("python3 is not installed");
  const directory = join(place, "log-python");
  story.log.writeTo(directory);
  const path = join(place, "receipt.json");
  writeFileSync(path, JSON.stringify(await receiptOf()));
  const count = story.log.lines.length;
  for (const key of keys) {
    expect(python("--log", directory, key)).toBe(`OK log: ${count} entries, ${count} signed`);
    expect(python(path, key)).toBe(`OK ${requestId(1)}: done`);
  }
  const other = createCheckpointSigner({ key: createLogKey(), logId: LOG_ID, isolation: "service" });
  expect(python("--log", directory, other.vkey)).toBe("FAIL: the log is of another key");
  const old = createCheckpointSigner({ key: secrets[0], logId: LOG_ID, isolation: "service" });
  story.log.writeTo(directory, { checkpoint: old.signCheckpoint(count, story.log.root()) });
  expect(python("--log", directory, keys[2] as string)).toMatch(/^FAIL: no key that was in force/);
});

test("checkpoints from before each rotation are still good evidence, in their own time only (R2)", async () => {
  const directory = join(place, "log-against");
  story.log.writeTo(directory);
  const first = createStory();
  first.open();
  first.approvedRequest(requestId(1));
  const against = [first.log.checkpoint(4), first.log.checkpoint()];
  expect((await verifyLog(directory, { key: keys[2] as string, against })).findings).toEqual([]);
  const late = first.log.signer.signCheckpoint(story.log.lines.length, story.log.root());
  const report = await verifyLog(directory, { against: [late] });
  expect(report.findings.map(({ code }) => code)).toContain("checkpoint_invalid");
});

test("a key signs up to the entry that replaces it, and the next one from that entry on (R2)", () => {
  const known = chain();
  for (const [i, { from, to }] of known.entries()) {
    const key = i === 0 ? null : (secrets[i - 1] as string);
    if (key === null) continue;
    const signer = createCheckpointSigner({ key, logId: LOG_ID, isolation: "service" });
    const opens = (size: number): boolean =>
      openWithChain(signer.signCheckpoint(size, `sha256:${"00".repeat(32)}`), known).ok;
    expect(opens(from)).toBe(true);
    expect(opens(from - 1)).toBe(false);
    if (to !== null) {
      expect(opens(to)).toBe(true);
      expect(opens(to + 1)).toBe(false);
    }
  }
});

test("without the signature of either key, or for another log, size or key, nothing is handed over (R1, R3)", () => {
  const known = chain();
  const name = originOf(LOG_ID);
  const next = createLogKey();
  const nextKey = createCheckpointSigner({ key: next, logId: LOG_ID, isolation: "service" }).vkey;
  const text = (to: string, size = 5, origin = name): string =>
    `${origin}\n${size}\n${Buffer.alloc(32).toString("base64")}\nkey ${to}\n`;
  const both = [secrets[1], next].map((privateKeyPem) => ({ name, privateKeyPem }));
  const from = keys[2] as string;
  const attempt = (note: string, to = nextKey, seq = 40): boolean =>
    extendChain(known, { from, to, note }, seq).ok;
  expect(attempt(signNote(text(nextKey), both))).toBe(true);
  expect(attempt(signNote(text(nextKey), both.slice(0, 1)))).toBe(false);
  expect(attempt(signNote(text(nextKey), both.slice(1)))).toBe(false);
  expect(attempt(signNote(text(keys[1] as string), both))).toBe(false);
  expect(attempt(signNote(text(nextKey, 41), both))).toBe(false);
  expect(attempt(signNote(text(nextKey, 5, "countersign.dev/log/other"), both))).toBe(false);
  expect(extendChain(known, { from: keys[1] as string, to: nextKey, note: "" }, 40).ok).toBe(false);
  const back = [secrets[1], secrets[0]].map((privateKeyPem) => ({ name, privateKeyPem }));
  expect(attempt(signNote(text(keys[1] as string), back), keys[1] as string)).toBe(false);
});

test("a receipt without one of the replacements, or with a forged one, is refused", async () => {
  const receipt = await receiptOf();
  const isRotation = ({ line }: { line: string }): boolean => line.includes('"kind":"log.key_rotated"');
  const without = { ...receipt, entries: receipt.entries.filter((one) => !isRotation(one)) };
  expect(verifyReceipt(without, { trustedKeys: [keys[0] as string] }).ok).toBe(false);
  const at = receipt.entries.findIndex(isRotation);
  const one = receipt.entries[at] as Receipt["entries"][number];
  const forged = one.line.replace(keys[1] as string, keys[2] as string);
  const changed = { ...receipt, entries: receipt.entries.with(at, { ...one, line: forged }) };
  expect(verifyReceipt(changed, { trustedKeys: keys }).ok).toBe(false);
});
