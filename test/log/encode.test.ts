import fc from "fast-check";
import { expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import {
  decodeEntry,
  encodeDraft,
  encodeEntry,
  entryOf,
  lineText,
  peekLine,
  roomFor,
  seqAt,
  writeLine,
} from "../../src/log/encode.ts";
import { MAX_ENTRY_BYTES, type EntryDraft } from "../../src/log/entry.ts";
import { staleDraft } from "../support/drafts.ts";

const TIME = Date.UTC(2026, 10, 21, 10);
const lineOf = (draft: EntryDraft, seq = 7, more = 0): string =>
  lineText(encodeEntry(encodeDraft(draft), { seq, time: timestamp(TIME), more }));

test("members stand in one order, keys and more only where they are (E1, E2)", () => {
  const keys = [{ until: null, key: "call:1" }];
  expect(lineOf(staleDraft("policy", "x", keys), 7, 2)).toBe(
    '{"v":1,"seq":7,"time":"2026-11-21T10:00:00.000Z","kind":"request.stale","subject":"policy","policy":null,' +
      '"keys":[{"key":"call:1","until":null}],"more":2,"data":{"why":"guard_changed","message":"x"}}',
  );
  expect(Object.keys(JSON.parse(lineOf(staleDraft("policy"))) as object)).toEqual([
    "v",
    "seq",
    "time",
    "kind",
    "subject",
    "policy",
    "data",
  ]);
});

test("what is encoded decodes to itself, in one line, whatever it says", () => {
  const draft = fc.record({
    subject: fc.string({ unit: "binary", minLength: 1 }),
    message: fc.string({ unit: "binary" }),
    keys: fc.option(fc.array(fc.record({ key: fc.string({ unit: "binary" }), until: fc.option(fc.nat()) })), {
      nil: undefined,
    }),
  });
  fc.assert(
    fc.property(draft, fc.maxSafeNat(), fc.nat(5), ({ subject, message, keys }, seq, more) => {
      const line = lineOf(staleDraft(subject, message, keys), seq, more);
      expect(line).not.toContain("\n");
      expect(decodeEntry(line, seq)).toEqual({
        ok: true,
        value: JSON.parse(line) as unknown,
      });
      expect(peekLine(line.slice(0, 80))).toEqual({ seq, time: TIME });
      expect(seqAt(Buffer.from(`??${line}`), 2)).toBe(seq);
      const encoded = encodeDraft(staleDraft(subject, message, keys));
      const place = { seq, time: timestamp(TIME), more };
      // What the fold is given live is what it reads in a replay, and what is written is the line.
      expect(entryOf(encoded, place)).toEqual(JSON.parse(line));
      const parts = encodeEntry(encoded, place);
      const bytes = Buffer.alloc(roomFor(parts) + 1);
      const end = writeLine(parts, bytes, 1);
      expect(bytes.toString("utf8", 1, end)).toBe(`${line}\n`);
    }),
  );
});

test("a kind of tomorrow is not written: every process that read it would stop (F1)", () => {
  expect(() => encodeDraft({ ...staleDraft("policy"), kind: "request.teleported" } as never)).toThrow(
    TypeError,
  );
  expect(() => encodeDraft({ ...staleDraft("policy"), data: undefined } as never)).toThrow(TypeError);
});

test("64 KiB fit, one byte more does not, counted in UTF-8", () => {
  const room = MAX_ENTRY_BYTES - Buffer.byteLength(lineOf(staleDraft("policy")));
  expect(
    Buffer.byteLength(
      lineOf(staleDraft("policy", `${"é".repeat(Math.floor(room / 2))}${"x".repeat(room % 2)}`)),
    ),
  ).toBe(MAX_ENTRY_BYTES);
  expect(() => lineOf(staleDraft("policy", "é".repeat(Math.floor(room / 2) + 1)))).toThrow(
    expect.objectContaining({ code: "ENTRY_TOO_LARGE" }) as Error,
  );
});

test.each([
  ["a gap", lineOf(staleDraft("policy"), 9), "a gap"],
  ["a repeat", lineOf(staleDraft("policy"), 3), "a repeat"],
  ["white space", lineOf(staleDraft("policy")).replace('"seq":7', '"seq": 7'), "members out of order"],
  [
    "another order",
    lineOf(staleDraft("policy")).replace('"v":1,"seq":7', '"seq":7,"v":1'),
    "members out of order",
  ],
  ["a time in another form", lineOf(staleDraft("policy")).replace(".000Z", "Z"), "no time"],
  ["a fractional more", lineOf(staleDraft("policy"), 7, 1).replace('"more":1', '"more":1.5'), "a bad `more`"],
  ["a negative more", lineOf(staleDraft("policy"), 7, 1).replace('"more":1', '"more":-1'), "a bad `more`"],
  ["half a line", lineOf(staleDraft("policy")).slice(0, 40), "not a line of JSON"],
  ["a number as text", lineOf(staleDraft("policy")).replace('"seq":7', '"seq":"7"'), "no sequence number"],
])("a line with %s is not the entry that was due", (_, line, why) => {
  const decoded = decodeEntry(line, 7);
  expect(decoded.ok).toBe(false);
  expect(decoded.ok ? "" : decoded.error).toContain(why);
});

test("a line of a later version is handed on as it is, for the fold to stop at", () => {
  expect(decodeEntry(lineOf(staleDraft("policy")).replace('"v":1', '"v":2'), 7)).toMatchObject({
    ok: true,
    value: { v: 2 },
  });
});

test.each(["", "{}", '{"v":1,"seq":}', '{"v":1,"seq":x,', '{"v":1,"seq":12', '{"v":2,"seq":12,'])(
  "seqAt finds no number in %s",
  (text) => expect(seqAt(Buffer.from(text), 0)).toBe(-1),
);
