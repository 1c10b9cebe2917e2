import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { createCheckpointSigner, createLogKey } from "../../src/log/checkpoint.ts";
import { leafHash, rootOf, toHex } from "../../src/log/merkle.ts";
import { verifyLog, type LogReport } from "../../src/log/verify.ts";

// Does a fault in the middle of many lines that are alike, which are looked at together, still have its name and place?

const root = mkdtempSync(join(tmpdir(), "countersign-runs-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let made = 0;

const LOG = "log_01JD7Z0000000000000000000A";
const signer = createCheckpointSigner({ key: createLogKey(), logId: LOG, isolation: "service" });
const START = Date.parse("2026-11-21T10:00:00.000Z");

const received = (seq: number, ms = seq * 10): string =>
  `{"v":1,"seq":${seq},"time":"${new Date(START + ms).toISOString()}","kind":"request.received",` +
  `"subject":"req_${String(seq).padStart(26, "0")}","policy":null,"data":{"requester":{"principal":"ana"},` +
  `"effect":"write","text":"${"x".repeat(20 + (seq % 5))}"}}`;
const opened =
  `{"v":1,"seq":0,"time":"${new Date(START).toISOString()}","kind":"log.opened","subject":"log","policy":null,` +
  `"data":{"log":"${LOG}","key":"${signer.vkey}","countersign":"1"}}`;

/** More than one chunk of the reader, over six minutes. */
const ENTRIES = 36_000;
const lines = [opened, ...Array.from({ length: ENTRIES - 1 }, (_, i) => received(i + 1))];

async function report(written: readonly string[], threads: 1 | 2, signed = written): Promise<LogReport> {
  const directory = join(root, String(made++));
  mkdirSync(directory);
  writeFileSync(join(directory, "000001.jsonl"), written.map((line) => `${line}\n`).join(""));
  const top = rootOf(signed.map((line) => leafHash(Buffer.from(line))));
  writeFileSync(join(directory, "checkpoint"), signer.signCheckpoint(signed.length, `sha256:${toHex(top)}`));
  return verifyLog(directory, { key: signer.vkey, threads });
}

const WHERE = 20_011;
const offset = lines.slice(0, WHERE).reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
const place = { segment: "000001.jsonl", line: WHERE + 1, offset };
const line = lines[WHERE] as string;

describe.each([1, 2] as const)("many lines alike, %i thread(s)", (threads) => {
  test("verify, and each is counted", async () => {
    expect(await report(lines, threads)).toMatchObject({
      ...{ ok: true, findings: [], entries: ENTRIES, requests: ENTRIES - 1, uncovered: 0 },
    });
  });

  test.each([
    ["dropped", lines.toSpliced(WHERE, 1), "dropped", WHERE],
    ["repeated", lines.toSpliced(WHERE, 0, lines[WHERE - 1] as string), "repeated", WHERE - 1],
    ["exchanged", lines.toSpliced(WHERE, 2, lines[WHERE + 1] as string, line), "reordered", WHERE + 1],
    ["cut short", lines.with(WHERE, line.slice(0, -2)), "changed", WHERE],
  ] as const)("one that was %s is named, with its place", async (_what, written, code, seq) => {
    const { findings, ok } = await report(written, threads, lines);
    expect(ok).toBe(false);
    expect(findings).toContainEqual(expect.objectContaining({ code, seq, place }));
  });

  test("an entry dated back is named, after one of the same minute and of another", async () => {
    for (const back of [10, 120_000]) {
      const written = lines.with(WHERE, received(WHERE, (WHERE - 1) * 10 - back));
      const { findings } = await report(written, threads);
      expect(findings).toEqual([expect.objectContaining({ code: "time_back", seq: WHERE, place })]);
    }
  });

  test("what comes after an entry dated ahead is compared with it", async () => {
    const written = lines.with(WHERE, received(WHERE, 3_600_000));
    const { findings } = await report(written, threads);
    expect(findings[0]).toMatchObject({ code: "time_back", seq: WHERE + 1 });
  });

  test("a requester whom the policy did not know, and a policy that was not adopted, are named", async () => {
    const unresolved = lines.with(WHERE, line.replace('"principal":"ana"', '"unresolved":["agent"]'));
    expect((await report(unresolved, threads)).findings).toEqual([
      expect.objectContaining({ code: "requester_unresolved", seq: WHERE, place }),
    ]);
    const adopted = lines.with(WHERE, line.replace('"policy":null', `"policy":"sha256:${"5a".repeat(32)}"`));
    expect((await report(adopted, threads)).findings).toEqual([
      expect.objectContaining({ code: "policy_unknown", seq: WHERE, place }),
    ]);
  });

  test("a changed byte is found by the root", async () => {
    const { ok, findings } = await report(lines.with(WHERE, line.replace("xx", "xy")), threads, lines);
    expect(ok).toBe(false);
    expect(findings[0]).toMatchObject({ code: "root_mismatch" });
  });
});
