import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson } from "../../src/base/canonical-json.ts";
import { digestBytes, digestJson, saltedDocument } from "../../src/base/digest.ts";

/** As the log's format has it, part by part. */
const inParts = (tag: string, salt: Uint8Array, bytes: Uint8Array): string => {
  const hash = createHash("sha256");
  for (const part of [new TextEncoder().encode(`countersign.${tag}.v1\n`), salt, bytes]) hash.update(part);
  return `sha256:${hash.digest("hex")}`;
};

test.each([0, 1, 14, 5_000, 100_000])("a digest of %i bytes is over tag, salt and bytes", (size) => {
  const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 31) % 256);
  const salt = Uint8Array.from({ length: 16 }, (_, i) => 255 - i);
  expect(digestBytes("view", bytes, salt)).toBe(inParts("view", salt, bytes));
  expect(digestBytes("plan", bytes)).toBe(inParts("plan", new Uint8Array(0), bytes));
  const { salted, digest } = saltedDocument("view", bytes, salt);
  expect(digest).toBe(inParts("view", salt, bytes));
  expect(Buffer.compare(salted, Buffer.concat([salt, bytes]))).toBe(0);
});

test("a part of a larger buffer is hashed as the part that it is", () => {
  const whole = Uint8Array.from({ length: 64 }, (_, i) => i);
  const wanted = inParts("file", whole.slice(2, 18), whole.slice(20, 40));
  expect(digestBytes("file", whole.subarray(20, 40), whole.subarray(2, 18))).toBe(wanted);
  expect(saltedDocument("file", whole.subarray(20, 40), whole.subarray(2, 18)).digest).toBe(wanted);
});

test("the digest of a value is over the UTF-8 bytes of its canonical text", () => {
  const text = fc.string({ unit: "binary" }).filter((one) => one.isWellFormed());
  fc.assert(
    fc.property(fc.dictionary(text, fc.oneof(text, fc.integer())), (value) => {
      fc.pre(!Object.hasOwn(value, "__proto__"));
      const bytes = new TextEncoder().encode(canonicalJson(value));
      expect(digestJson("question", value)).toBe(inParts("question", new Uint8Array(0), bytes));
    }),
    { numRuns: 1_000 },
  );
  const long = { text: "é\u{1f600}\0".repeat(50_000) };
  expect(digestJson("policy", long)).toBe(
    inParts("policy", new Uint8Array(0), new TextEncoder().encode(canonicalJson(long))),
  );
});
