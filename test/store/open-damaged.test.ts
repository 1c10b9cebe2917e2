import {
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isFault, type CountersignError, type FaultCode } from "../../src/errors.ts";
import { batchOf, requestAt, staleDraft } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";

// What opening says to a log that is not as it was written. State is replayed: no snapshot hides anything.

const SEGMENT_BYTES = 2_500;

let bed: EmbeddedBed;
beforeEach(async () => {
  bed = embeddedBed();
  const store = await bed.open({ create: true, segmentBytes: SEGMENT_BYTES });
  for (let i = 0; i < 40; i += 1) await store.append(batchOf([staleDraft("policy", `message ${i}`)]));
  await store.close();
  rmSync(join(bed.dir, "state.json"));
});
afterEach(() => bed.remove());

const segment = (n: number): string => join(bed.logDir, `00000${n}.jsonl`);
const linesOf = (n: number): string[] => readFileSync(segment(n), "utf8").split("\n").slice(0, -1);
const rewrite = (n: number, change: (lines: string[]) => string[]): void => {
  writeFileSync(
    segment(n),
    change(linesOf(n))
      .map((line) => `${line}\n`)
      .join(""),
  );
};

async function fault(code: FaultCode): Promise<CountersignError> {
  try {
    const store = await bed.open();
    await store.close();
  } catch (error) {
    if (isFault(error, code)) return error;
    throw error;
  }
  throw new Error(`opened instead of ${code}`);
}

describe("lines", () => {
  test("a dropped line is a gap, named by segment, line and byte", async () => {
    const lines = linesOf(2);
    rewrite(2, (all) => all.toSpliced(3, 1));
    const error = await fault("LOG_CORRUPT");
    const offset = lines.slice(0, 3).reduce((sum, line) => sum + line.length + 1, 0);
    expect(error.details).toEqual({ segment: "000002.jsonl", line: 4, offset });
    expect(error.message).toContain("a gap");
  });

  test("a repeated line is refused", async () => {
    rewrite(1, (all) => all.toSpliced(2, 0, all[2] as string));
    expect((await fault("LOG_CORRUPT")).message).toContain("a repeat");
  });

  test("swapped lines are refused", async () => {
    rewrite(1, (all) => all.with(2, all[3] as string).with(3, all[2] as string));
    await fault("LOG_CORRUPT");
  });

  test("an edited line that still parses is not what was signed", async () => {
    rewrite(1, (all) => all.map((line) => line.replace("message 3", "massage 3")));
    expect((await fault("LOG_ROLLED_BACK")).message).toContain("not those that were signed");
  });

  test.each([
    ["text that is no JSON", "nonsense"],
    [
      "an entry whose members stand in another order",
      '{"seq":5,"v":1,"time":"2026-11-21T10:00:00.000Z","kind":"throttled"}',
    ],
    ["white space", " "],
    ["a number", "17"],
    ["null", "null"],
  ])("%s where an entry was due is refused", async (_, text) => {
    rewrite(1, (all) => all.with(5, text));
    expect((await fault("LOG_CORRUPT")).details).toMatchObject({ segment: "000001.jsonl", line: 6 });
  });

  test("an entry dated before the one before it is refused (S2)", async () => {
    rewrite(1, (all) => all.with(4, (all[4] as string).replace(/"time":"\d{4}/, '"time":"2001')));
    expect((await fault("LOG_CORRUPT")).message).toContain("before that of the entry before it");
  });

  test("an unknown kind or version stops the process (F1)", async () => {
    const lines = linesOf(1);
    rewrite(1, (all) => all.with(4, (lines[4] as string).replace("request.stale", "request.teleported")));
    await fault("LOG_UNKNOWN_ENTRY");
    writeFileSync(
      segment(1),
      lines.map((line, i) => `${i === 4 ? line.replace('"v":1', '"v":2') : line}\n`).join(""),
    );
    await fault("LOG_UNKNOWN_ENTRY");
  });

  test("a line that is longer than an entry can be is refused", async () => {
    rewrite(1, (all) => all.with(4, (all[4] as string).replace("message 3", "x".repeat(70_000))));
    expect((await fault("LOG_CORRUPT")).message).toContain("a line of");
  });
});

describe("segments", () => {
  test("one that is missing in the middle is refused", async () => {
    rmSync(segment(2));
    await fault("LOG_CORRUPT");
  });

  test("one that is missing at the end is a log that lost its end", async () => {
    let last = 1;
    while (existsSync(segment(last + 1))) last += 1;
    expect(last).toBeGreaterThan(2);
    rmSync(segment(last));
    await fault("LOG_ROLLED_BACK");
  });

  test("a torn line in one that is not the last is refused", async () => {
    writeFileSync(segment(1), readFileSync(segment(1)).subarray(0, -5));
    expect((await fault("LOG_CORRUPT")).message).toContain("not the last");
  });

  test("an empty last one, as a crash after rolling leaves it, is written to", async () => {
    let next = 2;
    while (existsSync(segment(next))) next += 1;
    writeFileSync(segment(next), "", { mode: 0o600 });
    const store = await bed.open();
    await store.append(batchOf([staleDraft("policy", "on the new page")]));
    await store.close();
    expect(linesOf(next)).toHaveLength(1);
    const again = await bed.open();
    expect(again.head()).toEqual(store.head());
    await again.close();
  });

  test("are read as one log: lines, newest entries, one request's entries", async () => {
    const store = await bed.open({ segmentBytes: SEGMENT_BYTES });
    const request = requestAt(Date.now());
    for (let i = 0; i < 60; i += 1) {
      await store.append(batchOf([staleDraft(i % 10 === 0 ? request : "policy", `more ${i}`)]));
    }
    const seqs: number[] = [];
    for await (const { seq } of store.lines(7)) seqs.push(seq);
    expect(seqs).toEqual(Array.from({ length: 94 }, (_, i) => i + 7));
    expect((await store.newestEntries(95)).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 95 }, (_, i) => 100 - i),
    );
    const own: number[] = [];
    for await (const { entry } of store.entriesOf(request)) own.push(entry.seq);
    expect(own).toEqual([41, 51, 61, 71, 81, 91]);
    await store.close();
  });
});

describe("the checkpoint", () => {
  const file = (): string => join(bed.logDir, "checkpoint");

  test("missing, it is asked for; blank, it says nothing", async () => {
    rmSync(file());
    expect((await fault("LOG_ROLLED_BACK")).hint).toContain("empty file");
    writeFileSync(file(), "", { mode: 0o600 });
    const store = await bed.open();
    expect(readFileSync(file(), "utf8")).toBe(await store.checkpoint());
    await store.close();
  });

  test("of another log, or edited, it is refused", async () => {
    const other = embeddedBed();
    await (await other.open({ create: true })).close();
    const ours = readFileSync(file());
    copyFileSync(join(other.logDir, "checkpoint"), file());
    await fault("LOG_ROLLED_BACK");
    writeFileSync(file(), ours.toString().replace("\n41\n", "\n40\n"));
    await fault("LOG_ROLLED_BACK");
    other.remove();
  });

  test("older than the log, it must be of the same log's beginning", async () => {
    const copy = readFileSync(file());
    const store = await bed.open();
    await store.append(batchOf([staleDraft("policy", "one more")]));
    await store.close();
    writeFileSync(file(), copy);
    await (await bed.open()).close();
    writeFileSync(file(), copy);
    rmSync(join(bed.dir, "state.json"));
    rewrite(1, (all) => all.map((line) => line.replace("message 3", "massage 3")));
    await fault("LOG_ROLLED_BACK");
  });

  test.each([
    ["a NUL too many", (text: string) => `${text}\0`],
    ["its last newline missing", (text: string) => text.slice(0, -1)],
  ])("with %s, as power failing at its first growth leaves it, it is read", async (_, damage) => {
    writeFileSync(file(), damage(readFileSync(file(), "utf8")));
    const store = await bed.open();
    expect(store.head().size).toBeGreaterThan(0);
    await store.close();
  });
});

describe("keys", () => {
  const key = (name = "log.key"): string => join(bed.keysDir, name);

  test("another log's key is refused", async () => {
    const other = embeddedBed();
    await (await other.open({ create: true })).close();
    copyFileSync(join(other.keysDir, "log.key"), key());
    await fault("LOG_KEY_MISMATCH");
    other.remove();
  });

  test("a missing or damaged key is refused", async () => {
    const text = readFileSync(key(), "latin1");
    for (const damaged of [
      "",
      text.slice(0, -3),
      text.replace("PRIVATE", "PUBLIC"),
      `${text.slice(0, -5)}${text.at(-5) === "A" ? "B" : "A"}${text.slice(-4)}`,
    ]) {
      writeFileSync(key(), damaged);
      await fault("LOG_KEY_MISMATCH");
    }
    rmSync(key());
    await fault("LOG_KEY_MISMATCH");
  });

  test.each(["log.key"])("%s that others can read is refused, and the hint says what to do", async (name) => {
    chmodSync(key(name), 0o640);
    expect((await fault("HOME_INSECURE")).hint).toBe(`chmod 600 ${key(name)}`);
  });

  test("a seal key that others can read is refused when it is needed", async () => {
    chmodSync(key("seal.key"), 0o604);
    const store = await bed.open();
    const put = store.blobs.put([
      { tag: "plan", bytes: Buffer.from("x"), type: "text/plain", sealFor: requestAt(1) },
    ]);
    await expect(put).rejects.toSatisfy((error) => isFault(error, "HOME_INSECURE"));
    await store.close();
  });

  test.each(["", "keys"])("data directory /%s that others can reach is refused", async (name) => {
    chmodSync(join(bed.dir, name), 0o755);
    await fault("HOME_INSECURE");
  });
});

test("no log is no home, and a log is not made twice", async () => {
  const empty = embeddedBed();
  await expect(empty.open()).rejects.toSatisfy((error) => isFault(error, "HOME_NOT_FOUND"));
  expect(existsSync(empty.dir)).toBe(false);
  empty.remove();
  await expect(bed.open({ create: true })).rejects.toSatisfy((error) => isFault(error, "LOG_EXISTS"));
});

test("a log that somebody cuts while it is open closes the store", async () => {
  const faults: string[] = [];
  const store = await bed.open({ onFault: ({ code }) => faults.push(code) });
  let last = 1;
  while (existsSync(segment(last + 1))) last += 1;
  writeFileSync(segment(last), readFileSync(segment(last)).subarray(0, -50));
  await expect(store.append(batchOf([staleDraft("policy")]))).rejects.toSatisfy((error) =>
    isFault(error, "STORE_CLOSED"),
  );
  expect(faults).toEqual(["LOG_ROLLED_BACK"]);
  await expect(store.append(batchOf([staleDraft("policy")]))).rejects.toSatisfy((error) =>
    isFault(error, "STORE_CLOSED"),
  );
  await store.close();
});

test("an edited line in a closed segment is noticed by whoever reads past it or proves with it", async () => {
  const store = await bed.open();
  rewrite(1, (all) => all.toSpliced(3, 1));
  const read = async (): Promise<void> => {
    for await (const line of store.lines(0)) void line;
  };
  await expect(read()).rejects.toSatisfy((error) => isFault(error, "LOG_CORRUPT"));
  renameSync(segment(1), `${segment(1)}.away`);
  await expect(read()).rejects.toThrow();
  await store.close();
});
