import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createPacker, flat, unpack, type Shape } from "../../src/base/packed-json.ts";

const DIGEST = `sha256:${"0a".repeat(32)}`;
const OTHER = `sha256:${"f7".repeat(32)}`;

const packer = () =>
  createPacker(
    (name, parent) => name === "own" || (parent === "targets" && name === "id"),
    (name) => name === "definition",
  );

/** JSON in which the forms that are packed, and those that nearly are, come up often. */
const arbitrary = fc.letrec((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom<unknown>(null, true, false, DIGEST, OTHER, DIGEST.toUpperCase(), `${DIGEST}0`, "ab"),
    fc.constantFrom<unknown>(
      "00ff00ff00ff00ff",
      "00ff00ff00ff00f",
      "00FF00FF00FF00FF",
      "\ud800",
      "é漢😀",
      "",
    ),
    fc.constantFrom<unknown>(
      "2026-11-22T10:00:00.000Z",
      "2026-02-31T10:00:00.000Z",
      "0000-01-01T00:00:00.000Z",
    ),
    fc.integer({ min: -10, max: 300 }),
    fc.maxSafeNat(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((one) => !Object.is(one, -0)),
    fc.string({ unit: "binary" }),
  ),
  value: fc.oneof(
    { maxDepth: 4 },
    tie("leaf"),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(
      fc.oneof(
        fc.constantFrom("own", "id", "targets", "definition", "__proto__", "=", "again", "7"),
        fc.string(),
      ),
      tie("value"),
      { maxKeys: 5 },
    ),
  ),
}));

describe("packed JSON", () => {
  test("comes out as it went in, members in their order (K1)", () => {
    const { pack } = packer();
    fc.assert(
      fc.property(
        arbitrary.value,
        fc.array(fc.constantFrom(DIGEST, "ab", ""), { maxLength: 2 }),
        (value, known) => {
          expect(JSON.stringify(unpack(pack(value, known), known))).toBe(JSON.stringify(value));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("a saved shape gives the same value back", () => {
    const value = { own: "é", targets: [{ id: "a", kind: "host" }], digest: DIGEST, more: [OTHER, DIGEST] };
    const { shape, own } = packer().pack(value);
    const saved = JSON.parse(
      JSON.stringify({ key: shape.key, own: Buffer.from(own, "latin1").toString("base64") }),
    );
    const restored: Shape = packer().shapeOf(saved.key);
    expect(unpack({ shape: restored, own: Buffer.from(saved.own, "base64").toString("latin1") })).toEqual(
      value,
    );
  });

  test("values that differ in what is their own share a shape", () => {
    const { pack } = packer();
    const one = (own: string, digest: string, id: string) =>
      pack({ own, digest, tool: "deploy", definition: DIGEST, targets: [{ kind: "host", id }] });
    const first = one("first", DIGEST, "a");
    const second = one("second one", OTHER, "b");
    expect(second.shape).toBe(first.shape);
    expect(first.own).not.toContain("deploy");
    expect(pack({ own: "x", digest: DIGEST, tool: "other" }).shape).not.toBe(first.shape);
  });

  test("a value that comes twice, or that the keeper knows, is stored once or not at all", () => {
    const { pack } = packer();
    const once = pack({ a: DIGEST }).own.length;
    expect(pack({ a: DIGEST, b: DIGEST }).own.length).toBe(once);
    expect(pack({ a: DIGEST, b: "req_1" }, [DIGEST, "req_1"]).own).toBe("");
  });

  test("what a shape shares can't be changed through one value (K2)", () => {
    const { pack } = packer();
    const source = { own: "a", rules: [{ id: "r", verdict: "hold" }] };
    const packed = pack(source);
    const value = unpack(packed) as typeof source;
    expect(() => {
      (value.rules[0] as { verdict: string }).verdict = "allow";
    }).toThrow(TypeError);
    (source.rules[0] as { verdict: string }).verdict = "allow";
    value.own = "b";
    expect(unpack(packed)).toEqual({ own: "a", rules: [{ id: "r", verdict: "hold" }] });
  });

  test("more shapes than are remembered are as right (K3)", () => {
    const { pack } = packer();
    const packed = Array.from({ length: 2_500 }, (_, i) => ({
      i,
      one: pack({ fixed: `text ${i}`, own: `o${i}` }),
    }));
    for (const { i, one } of packed) expect(unpack(one)).toEqual({ fixed: `text ${i}`, own: `o${i}` });
  });

  test("a member called __proto__ stays one", () => {
    const text = '{"a":{"__proto__":{"b":1},"own":"c"},"own":"d"}';
    expect(JSON.stringify(unpack(packer().pack(JSON.parse(text))))).toBe(text);
  });

  test("flat text is the same text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(flat(text)).toBe(text);
      }),
    );
  });
});
