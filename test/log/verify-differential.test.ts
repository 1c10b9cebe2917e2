import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createReading, type Reading } from "../../src/log/verify-reading.ts";
import { readLines, readSegments } from "../../src/log/verify-segments.ts";

// Lines that are alike are looked at together. Does that ever say anything else than looking at each by itself?

const START = Date.parse("2026-11-21T10:00:50.000Z");
const time = (ms: number): string => new Date(START + ms).toISOString();
const LOG = "log_01JD7Z0000000000000000000A";
const opened =
  `{"v":1,"seq":0,"time":"${time(0)}","kind":"log.opened","subject":"log","policy":null,` +
  `"data":{"log":"${LOG}","key":"k","countersign":"1"}}`;
const received = (seq: number, ms: number, fill = ""): string =>
  `{"v":1,"seq":${seq},"time":"${time(ms)}","kind":"request.received","subject":"req_${String(seq).padStart(26, "0")}",` +
  `"policy":null,"data":{"requester":{"principal":"ana"},"text":"${fill}"}}`;

async function* each(lines: readonly Buffer[]): AsyncIterable<{ bytes: Uint8Array }> {
  for (const bytes of lines) yield await Promise.resolve({ bytes });
}

interface Told {
  readonly read: unknown;
  readonly findings: readonly unknown[];
  readonly rest: unknown;
}
const told = (reading: Reading, read: unknown): Told => ({
  read,
  findings: [...reading.findings, ...reading.sequence.finish()],
  rest: {
    ...{ size: reading.tree.size, root: reading.tree.rootAt(reading.tree.size), highest: reading.highest },
    ...{
      last: reading.last,
      requests: reading.requests,
      decisions: reading.decisions,
      unlisted: reading.unlisted,
    },
  },
});

async function ofStore(lines: readonly Buffer[], patterns: boolean): Promise<Told> {
  const reading = createReading({ patterns });
  return told(reading, await readLines(each(lines), reading.onLines, () => undefined));
}

async function ofFiles(files: readonly Buffer[], patterns: boolean, threads: 1 | 2): Promise<Told> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-differential-"));
  try {
    const names = files.map((_, i) => `${String(i + 1).padStart(6, "0")}.jsonl`);
    for (const [i, bytes] of files.entries()) writeFileSync(join(directory, names[i] as string), bytes);
    const reading = createReading({ patterns });
    return told(reading, await readSegments(directory, names, threads, reading.onLines, () => undefined));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What is done to one line, or to the lines from one on. */
type Mutation = (lines: Buffer[], at: number, a: number, b: number) => void;
const edit =
  (change: (text: string, a: number, b: number) => string): Mutation =>
  (lines, at, a, b) => {
    lines[at] = Buffer.from(change((lines[at] as Buffer).toString("latin1"), a, b), "latin1");
  };
const mutations: readonly Mutation[] = [
  (lines, at, a, b) => {
    const line = lines[at] as Buffer;
    if (line.length > 0) line[a % line.length] = b & 0xff;
  },
  (lines, at, a, b) => {
    const line = lines[at] as Buffer;
    const head = Math.min(line.length, 150);
    if (head > 0) line[a % head] = 0x20 + (b % 0x60);
  },
  edit((text, a) => text.slice(0, a % (text.length + 1))),
  edit(
    (text, a, b) =>
      text.slice(0, a % (text.length + 1)) +
      String.fromCharCode(b & 0xff) +
      text.slice(a % (text.length + 1)),
  ),
  edit((text, a) => text.replace(/"seq":\d+/, `"seq":${a % 400}`)),
  edit((text, a) => text.replace(/"seq":(\d+)/, `"seq":0$1`.slice(0, 8 + (a % 3)))),
  edit((text, a, b) => text.replace(/"time":"[^"]*"/, `"time":"${time((a % 20_000) - 5_000 + (b % 3))}"`)),
  edit((text, a) => text.replace(/:(\d\d)\.(\d{3})Z/, `:${60 + (a % 40)}.$2Z`)),
  edit((text) => text.replace('"principal":"ana"', '"unresolved":["agent"]')),
  edit((text, a) => text.replace('"text":"', `"text":"${"x".repeat(a % 3)}"unresolved":`)),
  edit((text) => text.replace('"policy":null', `"policy":"sha256:${"ab".repeat(32)}"`)),
  edit((text) => text.replace("request.received", "request.withdrawn")),
  edit((text) => text.replace('"v":1', '"v":2')),
  edit((text, a) => text.replace('"text":"', `"text":"${"y".repeat(60_000 + (a % 12_000))}`)),
  edit((text, a) => text.replace('"text":"', `"text":"${"z".repeat(110_000 + (a % 40_000))}}`)),
  (lines, at) => void lines.splice(at, 1),
  (lines, at) => void lines.splice(at, 0, lines[at] as Buffer),
  (lines, at) => void lines.splice(at, 2, ...lines.slice(at, at + 2).reverse()),
  (lines, at) => void lines.splice(at, 0, Buffer.from("{}")),
  (lines, at) => void lines.splice(at, 0, Buffer.alloc(0)),
];

const logs = fc
  .record({
    count: fc.integer({ min: 3, max: 300 }),
    step: fc.constantFrom(0, 1, 7, 400, 9_000),
    fill: fc.constantFrom(0, 1, 2, 3, 900),
    done: fc.array(
      fc.record({ what: fc.nat(mutations.length - 1), at: fc.nat(), a: fc.nat(), b: fc.nat() }),
      { maxLength: 3 },
    ),
    cut: fc.nat(),
  })
  .map(({ count, step, fill, done, cut }) => {
    const lines = [
      opened,
      ...Array.from({ length: count }, (_, i) => received(i + 1, i * step, "f".repeat(fill + (i % 4)))),
    ].map((line) => Buffer.from(line));
    for (const { what, at, a, b } of done) (mutations[what] as Mutation)(lines, at % lines.length, a, b);
    return { lines, cut: cut % (lines.length + 1) };
  });

describe("lines that are alike, looked at together and one by one", () => {
  test("say the same, with the same places, of a store's lines", async () => {
    await fc.assert(
      fc.asyncProperty(logs, async ({ lines }) => {
        const sound = lines.filter((line) => !line.includes(0x0a));
        expect(await ofStore(sound, true)).toEqual(await ofStore(sound, false));
      }),
      { numRuns: 150 },
    );
  });

  test.each([1, 2] as const)("say the same of files, %i thread(s)", async (threads) => {
    await fc.assert(
      fc.asyncProperty(logs, async ({ lines, cut }) => {
        const whole = (some: readonly Buffer[]): Buffer =>
          Buffer.concat(some.flatMap((line) => [line, Buffer.from("\n")]));
        const files = [whole(lines.slice(0, cut)), whole(lines.slice(cut))].filter((file) => file.length > 0);
        expect(await ofFiles(files, true, threads)).toEqual(await ofFiles(files, false, threads));
      }),
      { numRuns: 60 },
    );
  });
});

test("a line longer than an entry is none, however much it resembles those before it", async () => {
  const lines = Array.from({ length: 6 }, (_, i) => (i === 0 ? opened : received(i, i)));
  lines[4] = received(4, 4, "x".repeat(70_000));
  const bytes = lines.map((line) => Buffer.from(line));
  const { findings } = await ofStore(bytes, true);
  expect(findings).toContainEqual(expect.objectContaining({ code: "changed", seq: 4 }));
});

test("a fault after a line that is alike and stands alone has its place", async () => {
  const lines = Array.from({ length: 6 }, (_, i) => Buffer.from(i === 0 ? opened : received(i, i)));
  const offset = lines.slice(0, 5).reduce((sum, line) => sum + line.length + 1, 0);
  const { findings, read } = await ofStore(lines.with(5, Buffer.from("{}")), true);
  const place = { segment: "store", line: 6, offset };
  expect(findings).toEqual([expect.objectContaining({ code: "changed", seq: 5, place })]);
  expect(read).toEqual({ torn: null, bytes: offset + 3 });
});
