import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { createLogKey, createCheckpointSigner } from "../../src/log/checkpoint.ts";
import type { FindingCode } from "../../src/log/finding.ts";
import { verifyLog, type LogReport, type VerifyLogOptions } from "../../src/log/verify.ts";
import { createStory, LOG_ID, requestId, type Story } from "../support/log-story.ts";

const root = mkdtempSync(join(tmpdir(), "countersign-verify-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let made = 0;
const directory = (): string => join(root, String(made++));

/** Two requests, then allowed ones up to `entries` lines: full tiles exist from 256 on. */
function storyOf(entries: number): Story {
  const story = createStory();
  story.open();
  story.approvedRequest(requestId(1));
  for (let n = 2; story.log.lines.length < entries; n += 1) story.allowedRequest(requestId(n));
  return story;
}
const story = storyOf(60);
const { lines, signer } = story.log;
const key = signer.vkey;

async function verifyLines(
  written: readonly string[],
  options: VerifyLogOptions & { perSegment?: number; note?: string | null; of?: Story } = {},
): Promise<LogReport> {
  const path = directory();
  const { perSegment, note, of = story, ...rest } = options;
  of.log.writeTo(path, {
    lines: written,
    ...(perSegment === undefined ? {} : { perSegment }),
    ...(note === undefined ? {} : { checkpoint: note }),
  });
  return verifyLog(path, { key, ...rest });
}

const codes = (report: LogReport): FindingCode[] => report.findings.map(({ code }) => code);
const offsetOf = (index: number): number =>
  lines.slice(0, index).reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);

test("a log that nobody touched verifies, in one segment or in many, from files or from a store", async () => {
  const whole = await verifyLines(lines);
  expect(whole).toMatchObject({
    ok: true,
    entries: lines.length,
    uncovered: 0,
    decisions: 2,
    logId: LOG_ID,
    key,
  });
  expect(whole.findings).toEqual([]);
  expect(whole.checkpoint).toMatchObject({ size: lines.length, isolation: "service" });
  expect(whole.bytes).toBe(offsetOf(lines.length));
  for (const perSegment of [1, 7, 59])
    expect(await verifyLines(lines, { perSegment })).toMatchObject({ ok: true });
  const stored = await verifyLog(story.log.store.lines(0), { key, checkpoint: story.log.checkpoint() });
  expect(stored).toMatchObject({ ok: true, entries: lines.length, findings: [] });
});

test("a second thread finds what one thread finds", async () => {
  for (const perSegment of [7, 59]) {
    const whole = await verifyLines(lines, { perSegment, threads: 2 });
    expect(whole).toEqual(await verifyLines(lines, { perSegment, threads: 1 }));
    expect(whole).toMatchObject({ ok: true, entries: lines.length });
    const damaged = lines.toSpliced(20, 1).with(30, (lines[31] as string).replace("web", "wee"));
    const report = await verifyLines(damaged, { perSegment, threads: 2 });
    expect(report).toEqual(await verifyLines(damaged, { perSegment, threads: 1 }));
    expect(report.ok).toBe(false);
  }
});

test("lines of every length are found, across chunks and beyond what an entry may have", async () => {
  const path = directory();
  const long = createStory();
  long.open();
  for (const length of [1, 100, 60_000, 65_000, 65_300, 200, 130_000, 700_000, 3, 50]) {
    const data = { principal: "x".repeat(length), agent: "b", count: 1, limit: "c" };
    long.log.append({ kind: "throttled", subject: "log", policy: null, data });
  }
  long.log.writeTo(path);
  for (const threads of [1, 2] as const) {
    const report = await verifyLog(path, { key: long.log.signer.vkey, threads });
    expect(report.findings[0]).toMatchObject({ code: "changed", seq: 8, place: { line: 9 } });
  }
  const upTo = long.log.lines.slice(0, 8);
  long.log.writeTo(path, { lines: upTo, checkpoint: long.log.checkpoint(8) });
  for (const threads of [1, 2] as const) {
    expect(await verifyLog(path, { key: long.log.signer.vkey, threads })).toMatchObject({
      ok: true,
      entries: 8,
    });
  }
});

test("progress is told in bytes, up to the whole", async () => {
  const seen: number[] = [];
  const report = await verifyLines(lines, { perSegment: 10, onProgress: (bytes) => void seen.push(bytes) });
  expect(seen.at(-1)).toBe(report.bytes);
  expect([...seen].sort((a, b) => a - b)).toEqual(seen);
});

test("a log that a gateway goes on writing while it is read is not taken for truncated", async () => {
  const path = directory();
  story.log.writeTo(path, { lines: lines.slice(0, 50), checkpoint: story.log.checkpoint(50) });
  const onProgress = (): void => writeFileSync(join(path, "checkpoint"), story.log.checkpoint());
  expect(await verifyLog(path, { key, onProgress })).toMatchObject({ ok: true, findings: [], entries: 50 });
});

describe("damage to lines", () => {
  test("a dropped entry is named, with the place where it should stand", async () => {
    const report = await verifyLines(lines.toSpliced(20, 1));
    expect(report.ok).toBe(false);
    expect(report.findings[0]).toMatchObject({
      code: "dropped",
      seq: 20,
      place: { segment: "000001.jsonl", line: 21, offset: offsetOf(20) },
    });
    expect(codes(report)).toContain("root_mismatch");
  });

  test("several dropped entries are named as a range", async () => {
    const report = await verifyLines(lines.toSpliced(20, 5));
    expect(report.findings[0]).toMatchObject({ code: "dropped", seq: 20 });
    expect(report.findings[0]?.message).toContain("entries 20 to 24 are missing");
  });

  test("a repeated entry is named, with the place of the second one", async () => {
    const report = await verifyLines(lines.toSpliced(31, 0, lines[30] as string));
    expect(report.findings[0]).toMatchObject({
      code: "repeated",
      seq: 30,
      place: { line: 32, offset: offsetOf(31) },
    });
    expect(codes(report)).not.toContain("dropped");
  });

  test("two neighbours that changed places are named", async () => {
    const swapped = lines.with(10, lines[11] as string).with(11, lines[10] as string);
    const report = await verifyLines(swapped);
    expect(codes(report)).toEqual(["reordered", "root_mismatch"]);
    expect(report.findings[0]).toMatchObject({ seq: 11, place: { line: 11 } });
  });

  test("an entry moved far back or far ahead is one that was reordered, not one lost and one repeated", async () => {
    const back = lines.toSpliced(10, 1).toSpliced(30, 0, lines[10] as string);
    expect(codes(await verifyLines(back))).toEqual(["reordered", "root_mismatch"]);
    const ahead = lines.toSpliced(30, 1).toSpliced(10, 0, lines[30] as string);
    expect(codes(await verifyLines(ahead))).toEqual(["reordered", "root_mismatch"]);
  });

  test("an altered sequence number is a changed line", async () => {
    for (const number of [3, 15, 16, 17, 900]) {
      const altered = lines.with(14, (lines[14] as string).replace('"seq":14', `"seq":${number}`));
      const report = await verifyLines(altered);
      expect(report.findings[0], `seq ${number}`).toMatchObject({
        code: "changed",
        seq: 14,
        place: { line: 15 },
      });
      expect(codes(report)).not.toContain("dropped");
    }
  });

  test("a line that is no entry is told from one that was changed", async () => {
    const inserted = await verifyLines(lines.toSpliced(12, 0, "hello"));
    expect(inserted.findings[0]).toMatchObject({ code: "inserted", place: { line: 13 } });
    const replaced = await verifyLines(lines.with(12, "hello"));
    expect(replaced.findings[0]).toMatchObject({ code: "changed", seq: 12, place: { line: 13 } });
  });

  test("a log cut after an entry is truncated; the entries that were signed and are gone are named", async () => {
    const report = await verifyLines(lines.slice(0, 50), { note: story.log.checkpoint() });
    expect(codes(report)).toEqual(["truncated"]);
    expect(report.findings[0]).toMatchObject({ seq: 50, place: { line: 50, offset: offsetOf(49) } });
    expect(report.findings[0]?.message).toContain(`entries 50 to ${lines.length - 1}`);
  });

  test("a log cut inside a line is torn, and truncated where the line was signed", async () => {
    const path = directory();
    story.log.writeTo(path);
    const file = join(path, "000001.jsonl");
    writeFileSync(file, readFileSync(file).subarray(0, offsetOf(lines.length) - 9));
    const report = await verifyLog(path, { key });
    expect(codes(report)).toEqual(["torn", "truncated"]);
    const unsigned = await verifyLog(path, { key, checkpoint: story.log.checkpoint(lines.length - 1) });
    expect(codes(unsigned)).toEqual(["torn"]);
    expect(unsigned.ok).toBe(true);
  });

  test("a missing segment is a gap", async () => {
    const path = directory();
    story.log.writeTo(path, { perSegment: 20 });
    rmSync(join(path, "000002.jsonl"));
    const report = await verifyLog(path, { key });
    expect(report.findings[0]).toMatchObject({
      code: "dropped",
      place: { segment: "000003.jsonl", line: 1, offset: 0 },
    });
    expect(report.findings[0]?.message).toContain("entries 20 to 39");
  });

  test("an entry dated before the one in front of it is named", async () => {
    const early = lines.with(
      40,
      (lines[40] as string).replace(/"time":"[^"]+"/, '"time":"2026-11-21T09:00:00.000Z"'),
    );
    expect(codes(await verifyLines(early))).toContain("time_back");
    const never = lines.with(
      40,
      (lines[40] as string).replace(/"time":"[^"]+"/, '"time":"2026-13-21T09:00:00.000Z"'),
    );
    expect(codes(await verifyLines(never))).toContain("changed");
  });

  test("members out of order, other spellings and white space are not an entry", async () => {
    const good = lines[8] as string;
    for (const bad of [
      good.replace('{"v":1,"seq":8,', '{"seq":8,"v":1,'),
      good.replace('"seq":8', '"seq": 8'),
      good.replace('"seq":8', '"seq":08'),
      `${good} `,
      good.slice(0, -1),
      good.replace('"policy":"sha256:', '"policy":"SHA256:'),
    ]) {
      expect((await verifyLines(lines.with(8, bad))).findings[0], bad).toMatchObject({
        code: "changed",
        seq: 8,
      });
    }
  });
});

test("any flipped bit anywhere in the log is a fault", async () => {
  const path = directory();
  story.log.writeTo(path);
  const file = join(path, "000001.jsonl");
  const good = readFileSync(file);
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.nat(7), async (at, bit) => {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] as number) ^ (1 << bit);
      writeFileSync(file, bad);
      expect((await verifyLog(path, { key })).ok).toBe(false);
    }),
    { numRuns: 150 },
  );
});

test("a flipped byte inside an entry's data is located by the store's leaf tiles, to line and offset", async () => {
  const long = storyOf(300);
  const path = directory();
  long.log.writeTo(path, { perSegment: 100 });
  const file = join(path, "000002.jsonl");
  writeFileSync(file, readFileSync(file, "utf8").replace("deployed web", "deployed wen"));
  const report = await verifyLog(path, { key: long.log.signer.vkey });
  expect(codes(report)).toEqual(["root_mismatch", "changed"]);
  const { seq, place } = report.findings[1]!;
  expect(place?.segment).toBe("000002.jsonl");
  expect(long.log.lines[seq as number]).toContain("deployed web");
  expect(place?.line).toBe((seq as number) - 100 + 1);

  writeFileSync(join(path, "tiles", "0"), Buffer.alloc(256 * 32, 7));
  expect(
    codes(await verifyLog(path, { key: long.log.signer.vkey })),
    "tiles that prove nothing are not used",
  ).toEqual(["root_mismatch"]);
});

describe("signature and key", () => {
  test("without a trusted key the log vouches for itself, and the report says so", async () => {
    const path = directory();
    story.log.writeTo(path);
    const report = await verifyLog(path);
    expect(report.ok).toBe(true);
    expect(codes(report)).toEqual(["untrusted"]);
  });

  test("a rewritten log with a key of its own fails against the pinned key", async () => {
    const other = createCheckpointSigner({ key: createLogKey(), logId: LOG_ID, isolation: "service" });
    const path = directory();
    const rewritten = lines.with(0, (lines[0] as string).replace(key, other.vkey));
    story.log.writeTo(path, {
      lines: rewritten,
      checkpoint: other.signCheckpoint(lines.length, story.log.root()),
    });
    expect(codes(await verifyLog(path, { key }))).toEqual(
      expect.arrayContaining(["key_mismatch", "checkpoint_invalid"]),
    );
  });

  test("no checkpoint, a blank one, another log's checkpoint, and a checkpoint with a changed byte prove nothing", async () => {
    expect(codes(await verifyLines(lines, { note: null }))).toEqual(["no_checkpoint"]);
    const note = story.log.checkpoint();
    expect(codes(await verifyLines(lines, { note: note.replace(`\n${lines.length}\n`, "\n12\n") }))).toEqual([
      "checkpoint_invalid",
    ]);
    expect(codes(await verifyLines(lines, { note: "" }))).toEqual(["no_checkpoint"]);
    expect(
      codes(await verifyLines(lines, { note: `${note}\0\n` })),
      "power failed while it was written",
    ).toEqual([]);
  });

  test("entries after the checkpoint are counted as uncovered", async () => {
    const report = await verifyLines(lines, { note: story.log.checkpoint(50) });
    expect(report).toMatchObject({ ok: true, uncovered: lines.length - 50 });
    expect(codes(report)).toEqual(["uncovered"]);
  });

  test("a checkpoint that was kept elsewhere catches a log that was rewritten and signed again", async () => {
    const kept = story.log.checkpoint(40);
    expect(await verifyLines(lines, { against: [kept] })).toMatchObject({ ok: true });
    const other = createStory();
    other.open();
    other.approvedRequest(requestId(99));
    for (let n = 2; other.log.lines.length < 60; n += 1) other.allowedRequest(requestId(n));
    const rewritten = await verifyLines(other.log.lines, { of: other, against: [kept] });
    expect(codes(rewritten)).toEqual(["inconsistent"]);
    const shorter = await verifyLines(lines.slice(0, 30), {
      note: story.log.checkpoint(30),
      against: [kept],
    });
    expect(codes(shorter)).toEqual(["inconsistent"]);
  });

  test("isolation none is said in every report", async () => {
    const laptop = createStory({ isolation: "none" });
    laptop.open();
    const report = await verifyLines(laptop.log.lines, { of: laptop });
    expect(report).toMatchObject({ ok: true, checkpoint: { isolation: "none" } });
    expect(codes(report)).toEqual(["isolation_none"]);
  });

  test("an empty directory and an empty log prove nothing and do not throw", async () => {
    expect(codes(await verifyLines([], { note: null }))).toEqual(["no_checkpoint"]);
  });
});

test("an entry of a later version or of an unknown kind is a notice: its bytes are proved, its meaning is not", async () => {
  const later = createStory();
  later.open();
  later.log.append({
    kind: "request.teleported" as "throttled",
    subject: "log",
    policy: null,
    data: {} as never,
  });
  later.log.lines.push(
    `{"v":2,"seq":3,"time":"2026-11-21T11:00:00.000Z","kind":"throttled","subject":"log","policy":null,"data":{}}`,
  );
  const report = await verifyLines(later.log.lines, { of: later });
  expect(report.ok).toBe(true);
  expect(codes(report)).toEqual(["unknown_kind", "unknown_kind"]);
});

test("data of a shape that its kind can't have is a finding, not a crash", async () => {
  for (const data of [null, 7, [], {}, { question: null }, { question: { targets: 3 }, requirement: {} }]) {
    const broken = createStory();
    broken.open();
    broken.received(requestId(1));
    broken.planned(requestId(1), "hold");
    broken.log.append({
      kind: "consent.asked",
      subject: requestId(1),
      policy: broken.revision,
      data: data as never,
    });
    const report = await verifyLines(broken.log.lines, { of: broken });
    expect(report.ok, JSON.stringify(data)).toBe(false);
  }
});
