import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { createMarkFinder } from "../../src/log/find-mark.ts";
import { createPlainLines } from "../../src/log/plain-lines.ts";
import { createHeadReader, IN_NAME } from "../../src/log/verify-head.ts";

const MARK = '"unresolved":';
const START = Date.parse("2026-11-21T10:00:01.000Z");
const DIGEST = `sha256:${"5a".repeat(32)}`;

interface Shape {
  readonly first: number;
  readonly policy: string | null;
  readonly subject: string;
  readonly rest: string;
}

const lineOf = ({ first, policy, subject, rest }: Shape, i: number, ms = i): string =>
  `{"v":1,"seq":${first + i},"time":"${new Date(START + ms).toISOString()}","kind":"request.received",` +
  `"subject":"${subject}${String(i).padStart(8, "0")}","policy":${JSON.stringify(policy)},${rest}}`;

/** As much as is compared at once. */
const AFTER = 16;

/** Lines one after another, from a place that is no word's on; as in a chunk, the memory goes on after the last. */
function lay(lines: readonly (string | Buffer)[], before: number): { buffer: Buffer; bounds: Int32Array } {
  const bounds = new Int32Array(2 * lines.length);
  const pieces: Buffer[] = [Buffer.alloc(before)];
  let at = before;
  for (const [i, line] of lines.entries()) {
    const bytes = Buffer.from(line);
    bounds[2 * i] = at;
    bounds[2 * i + 1] = at += bytes.length;
    pieces.push(bytes, Buffer.from("\n"));
    at += 1;
  }
  pieces.push(Buffer.alloc(AFTER, "x"));
  return { buffer: Buffer.from(Uint8Array.from(Buffer.concat(pieces)).buffer), bounds };
}

/** How many of the lines follow from the first two, as a reader does it that keeps the second as the pattern. */
function runOf(lines: readonly (string | Buffer)[], before: number): number {
  const { buffer, bounds } = lay(lines, before);
  const plain = createPlainLines({ inName: IN_NAME, isMarked: createMarkFinder(Buffer.from(MARK)) });
  const head = createHeadReader();
  let isKept = false;
  for (const line of [0, 1]) {
    expect(head.read(buffer, bounds[2 * line] as number, bounds[2 * line + 1] as number)).toBe(true);
    isKept = plain.offer(buffer, bounds[2 * line] as number, head.fields(bounds[2 * line] as number));
  }
  return isKept ? plain.run(buffer, bounds, 2, lines.length, head.seq + 1) : 0;
}

/** What the reader of heads, which looks at every byte, has to say of a line after another. */
function isPlain(before: string, line: Buffer): boolean {
  const head = createHeadReader();
  const first = Buffer.from(before);
  head.read(first, 0, first.length);
  const { seq } = head;
  const policy = head.policy();
  head.remember();
  return (
    head.read(line, 0, line.length) &&
    head.version === 1 &&
    head.seq === seq + 1 &&
    head.kind === "request.received" &&
    head.policy() === policy &&
    head.comparedWithRemembered() >= 0 &&
    !line.includes(MARK)
  );
}

const shape = fc.record({
  first: fc.oneof(fc.constantFrom(1, 8, 96, 997, 123_456), fc.nat(10_000_000)),
  policy: fc.constantFrom(null, DIGEST),
  subject: fc.constantFrom("req_", "req_01JD7Z000000", "x"),
  rest: fc.constantFrom('"data":{}', '"keys":[],"data":{"a":"bc"}', `"data":{"text":"${"y".repeat(300)}"}`),
});

describe("lines that nothing has to be said about", () => {
  it("are passed over together, wherever they begin", () => {
    for (const policy of [null, DIGEST]) {
      for (let before = 1; before <= 8; before += 1) {
        for (const rest of ['"data":{}', '"data":{"a":1}', '"data":{"ab":1}', '"data":{"abc":1}']) {
          const lines = Array.from({ length: 40 }, (_, i) =>
            lineOf({ first: 100, policy, subject: "req_01JD7Z", rest }, i, i * 100),
          );
          expect(runOf(lines, before), `from ${before}`).toBe(38);
        }
      }
    }
  });

  it("end where the reader of heads would find something, whatever was changed", () => {
    let passed = 0;
    let stopped = 0;
    fc.assert(
      fc.property(
        shape,
        fc.nat(7),
        fc.array(
          fc.record({
            at: fc.nat(330),
            byte: fc.oneof(
              fc.nat(255),
              fc.nat(9).map((d) => 0x30 + d),
            ),
          }),
          {
            maxLength: 2,
          },
        ),
        fc.constantFrom(0, 1, 1, 58_990, 59_000),
        (given, before, changes, ms) => {
          const line = Buffer.from(lineOf(given, 2, 2 + ms));
          for (const { at, byte } of changes) if (at < line.length) line[at] = byte;
          const lines = [lineOf(given, 0), lineOf(given, 1), line];
          if (line.includes(0x0a)) return;
          const count = runOf(lines, before + 1);
          if (count === 1) {
            passed += 1;
            expect(isPlain(lines[1] as string, line), line.toString("latin1")).toBe(true);
          } else stopped += 1;
        },
      ),
      { numRuns: 5_000 },
    );
    // Both happened, or the test would say nothing.
    expect(passed).toBeGreaterThan(500);
    expect(stopped).toBeGreaterThan(500);
  });

  const given: Shape = { first: 100, policy: null, subject: "req_01JD7Z", rest: '"data":{"a":"b"}' };
  const [first, second, third] = [0, 1, 2].map((i) => lineOf(given, i)) as [string, string, string];

  test.each([
    ["another kind", third.replace("request.received", "request.withdrawn")],
    ["another kind of the same length", third.replace("request.received", "request.receives")],
    ["another version", third.replace('"v":1', '"v":2')],
    ["the number of the line before", third.replace('"seq":102', '"seq":101')],
    ["a later number", third.replace('"seq":102', '"seq":103')],
    ["a number with a zero before it", third.replace('"seq":102', '"seq":012')],
    ["an earlier time", lineOf(given, 2, 0)],
    ["an earlier second", lineOf(given, 2, -1_000)],
    ["another minute", lineOf(given, 2, 60_000)],
    ["another day", lineOf(given, 2, 86_400_000)],
    ["a 60th second", third.replace("01.002Z", "60.002Z")],
    ["a comma in its time", third.replace("01.002Z", "01,002Z")],
    ["a policy", lineOf({ ...given, policy: DIGEST }, 2)],
    ["a quote in its subject", third.replace("req_01JD7Z", 'req_"1JD7Z')],
    ["an escape in its subject", third.replace("req_01JD7Z", "req_\\1JD7Z")],
    ["a space in its subject", third.replace("req_01JD7Z", "req_ 1JD7Z")],
    ["the mark", third.replace('"a":', '"unresolved":')],
    ["no brace at its end", third.slice(0, -2)],
    ["nothing after its head", `${third.slice(0, third.indexOf(',"data'))}}`],
    ["nothing", ""],
  ])("a line with %s ends them", (_what, line) => {
    expect(runOf([first, second, third, lineOf(given, 3)], 1)).toBe(2);
    expect(runOf([first, second, line, lineOf(given, 3)], 1)).toBe(0);
  });

  it("have no pattern where the two before them are of different minutes", () => {
    expect(runOf([lineOf(given, 0, -2_000), second, third], 1)).toBe(0);
  });
});
