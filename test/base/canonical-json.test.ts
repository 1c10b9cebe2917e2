import { isDeepStrictEqual } from "node:util";
import canonicalize from "canonicalize";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  canonicalBytes,
  canonicalCopy,
  canonicalJson,
  MAX_JSON_DEPTH,
} from "../../src/base/canonical-json.ts";
import { isFault } from "../../src/errors.ts";

const refused = (value: unknown): unknown => {
  try {
    return canonicalJson(value);
  } catch (error) {
    return isFault(error, "ARGUMENTS_UNREPRESENTABLE") ? "refused" : error;
  }
};

test("agrees with the oracle on any JSON value it accepts (RFC 8785)", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const ours = refused(value);
      fc.pre(ours !== "refused");
      expect(ours).toBe(canonicalize(value));
    }),
    { numRuns: 2_000 },
  );
});

/** What an attacker would put into a text or a name: half a pair, what ends a line in JavaScript, what must be escaped. */
const hostileText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({
    unit: fc.constantFrom("\ud800", "\udfff", "\u{1f600}", "\u2028", "\u0000", "\u001f", '"', "\\", "/"),
  }),
  fc.string({ unit: fc.constantFrom("\u007f", "\u0080", "\ufffe", "\ufeff", "~", " ", "a", "é") }),
);
const hostileName = fc.oneof(
  hostileText,
  fc.constantFrom("__proto__", "toJSON", "constructor", "length", "", "0", "9", "10", "-0", "4294967295"),
);
const { value: hostileValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.oneof(fc.constantFrom(null, true, false, undefined, 2 ** 53, -0), fc.double(), fc.integer()),
    hostileText,
    fc.array(tie("value"), { maxLength: 4 }),
    // Some with more names than are sorted by hand.
    fc
      .array(fc.tuple(hostileName, tie("value")), { maxLength: 40 })
      .map((members) => Object.fromEntries(members) as unknown),
  ),
}));

/** Whether the profile takes it, said another way. */
function isTaken(value: unknown, depth = 0): boolean {
  if (depth > MAX_JSON_DEPTH) return false;
  if (typeof value === "string") return !/\p{Surrogate}/u.test(value);
  if (typeof value === "number") {
    return Number.isFinite(value) && (value % 1 !== 0 || Math.abs(value) <= Number.MAX_SAFE_INTEGER);
  }
  if (typeof value !== "object" || value === null) return value !== undefined;
  if (Array.isArray(value)) return value.every((one) => isTaken(one, depth + 1));
  return Object.entries(value).every(
    ([key, one]) =>
      key !== "__proto__" && (one === undefined || (isTaken(key, depth) && isTaken(one, depth + 1))),
  );
}

test("agrees with the oracle on hostile texts and names, and refuses the others", () => {
  fc.assert(
    fc.property(hostileValue, (value) => {
      const ours = refused(value);
      expect(ours === "refused").toBe(!isTaken(value));
      if (ours === "refused") return;
      expect(ours).toBe(canonicalize(value));
      expect(Buffer.from(canonicalBytes(value)).toString()).toBe(ours);
    }),
    { numRuns: 3_000 },
  );
});

test("a copy is what its canonical text gives back, in the same order, and is refused for the same reason", () => {
  const outcome = (work: () => unknown): unknown => {
    try {
      return work();
    } catch (error) {
      return isFault(error, "ARGUMENTS_UNREPRESENTABLE") ? error.message : error;
    }
  };
  fc.assert(
    fc.property(hostileValue, (value) => {
      const copied = outcome(() => canonicalCopy(value));
      const parsed = outcome(() => JSON.parse(canonicalJson(value)) as unknown);
      // Not by `toStrictEqual`, which takes a member named `constructor` for the class.
      expect(isDeepStrictEqual(copied, parsed)).toBe(true);
      expect(JSON.stringify(copied)).toBe(JSON.stringify(parsed));
    }),
    { numRuns: 3_000 },
  );
});

test("a copy shares nothing that can change, and says where it can't be made", () => {
  const value = { list: [{ a: 1 }], "a/b": { c: -0 } };
  const copied = canonicalCopy(value);
  value.list[0] = { a: 2 };
  value["a/b"].c = 3;
  expect(copied).toStrictEqual({ "a/b": { c: 0 }, list: [{ a: 1 }] });
  expect(() => canonicalCopy({ "a/b": [1, { c: "\udc00" }] })).toThrow("at /a~1b/1/c: a lone surrogate");
  expect(() => canonicalCopy({ "\udc00": 1 })).toThrow("a lone surrogate");
  expect(() => canonicalCopy({ a: Array(1) })).toThrow("at /a/0: undefined is not JSON");
  expect(() => canonicalCopy({ a: new Date(0) })).toThrow("at /a: not a plain object");
});

test("a thousand members and sixty-four levels", () => {
  const wide = Object.fromEntries(
    Array.from({ length: 1_000 }, (_, i) => [`k${(i * 7_919) % 1_000}\u{1f600}`, i]),
  );
  expect(canonicalJson(wide)).toBe(canonicalize(wide));
  expect(Object.keys(canonicalCopy(wide))).toStrictEqual(Object.keys(wide).sort());
  let deep: unknown = {};
  for (let i = 0; i < MAX_JSON_DEPTH; i += 1) deep = i % 2 === 0 ? [deep] : { deep };
  expect(canonicalJson(deep)).toBe(canonicalize(deep));
  expect(canonicalCopy(deep)).toStrictEqual(deep);
  expect(() => canonicalCopy([deep])).toThrow("nested deeper than 64");
});

test("orders keys and writes numbers as the RFC's example does", () => {
  expect(
    canonicalJson({
      numbers: [333333333.33333329, 4.5, 2e-3, 0.000000000000000000000000001, -0],
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "1": "One",
      "\u0080": "Control",
    }),
  ).toBe(
    '{"\\r":"Carriage Return","1":"One","numbers":[333333333.3333333,4.5,0.002,1e-27,0],"\u0080":"Control","\u20ac":"Euro Sign"}',
  );
});

test("refuses what JCS would silently change (D1)", () => {
  expect(refused(9007199254740993n)).toBe("refused");
  expect(refused({ a: 2 ** 53 })).toBe("refused");
  expect(refused({ a: Number.NaN })).toBe("refused");
  expect(refused("\ud800")).toBe("refused");
  expect(refused(JSON.parse('{"__proto__":{"x":1}}'))).toBe("refused");
  expect(refused([undefined])).toBe("refused");
  expect(refused(new Date(0))).toBe("refused");
  let deep: unknown = 0;
  for (let i = 0; i <= MAX_JSON_DEPTH; i += 1) deep = [deep];
  expect(refused(deep)).toBe("refused");
});
