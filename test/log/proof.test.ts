import fc from "fast-check";
import { expect, test } from "vitest";
import { createCheckpointSigner, createLogKey } from "../../src/log/checkpoint.ts";
import { leafHash, rootOf, toHex } from "../../src/log/merkle.ts";
import { foldPlan, inclusionPlan } from "../../src/log/merkle-proof.ts";
import { parseVerifierKey, type VerifierKey } from "../../src/log/note.ts";
import { formatTlogProof, parseTlogProof, verifyTlogProof } from "../../src/log/proof.ts";

const lines = Array.from({ length: 11 }, (_, i) => Buffer.from(`{"seq":${i}}`));
const leaves = lines.map(leafHash);
const signer = createCheckpointSigner({
  key: createLogKey(),
  logId: "log_01JD0000000000000000000000",
  isolation: "service",
});
const parsedKey = parseVerifierKey(signer.vkey);
const key = (parsedKey.ok ? parsedKey.value : undefined) as VerifierKey;
const checkpoint = signer.signCheckpoint(lines.length, `sha256:${toHex(rootOf(leaves))}`);
const proofOf = (index: number, extra?: Uint8Array): string =>
  formatTlogProof({
    index,
    checkpoint,
    proof: foldPlan(inclusionPlan(index, lines.length), (ref) =>
      rootOf(leaves.slice(ref.index * 2 ** ref.level, (ref.index + 1) * 2 ** ref.level)),
    ),
    ...(extra === undefined ? {} : { extra }),
  });

test("every entry's proof verifies for its line and for no other", () => {
  for (let i = 0; i < lines.length; i += 1) {
    const text = proofOf(i);
    expect(text.startsWith(`c2sp.org/tlog-proof@v1\nindex ${i}\n`)).toBe(true);
    expect(verifyTlogProof(text, lines[i] as Buffer, key)).toMatchObject({ ok: true, value: { size: 11 } });
    expect(verifyTlogProof(text, lines[(i + 1) % 11] as Buffer, key).ok).toBe(false);
  }
});

test("extra data goes along and is not believed", () => {
  const text = proofOf(3, Buffer.from("req_1"));
  expect(parseTlogProof(text)).toMatchObject({ ok: true, value: { index: 3 } });
  expect(text.split("\n")[1]).toBe(`extra ${Buffer.from("req_1").toString("base64")}`);
  expect(verifyTlogProof(text, lines[3] as Buffer, key).ok).toBe(true);
});

test("no changed character of a proof passes, but in its extra data", () => {
  const text = proofOf(5);
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 127 }), (at, xor) => {
      const changed = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ xor) + text.slice(at + 1);
      // A changed name or key id makes the signature one by an unknown key, which leaves none that is known.
      expect(verifyTlogProof(changed, lines[5] as Buffer, key).ok).toBe(false);
    }),
    { numRuns: 1_000 },
  );
});

test("other spellings of the same proof are refused", () => {
  const text = proofOf(4);
  for (const bad of [
    text.replace("index 4", "index 04"),
    text.replace("index 4", "index  4"),
    text.replace("index 4\n", "extra !!\nindex 4\n"),
    text.replace("@v1", "@v2"),
    text.replace("=\n", "\n"),
    text.replace("\n\n", "\n\n\n"),
    `${text}\n`,
    text.trimEnd(),
  ]) {
    expect(parseTlogProof(bad).ok, JSON.stringify(bad)).toBe(false);
  }
});
