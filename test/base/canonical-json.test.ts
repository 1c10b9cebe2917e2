import canonicalize from "canonicalize";
import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, MAX_JSON_DEPTH } from "../../src/base/canonical-json.ts";
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
