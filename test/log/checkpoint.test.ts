import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Digest } from "../../src/base/digest.ts";
import {
  createCheckpointSigner,
  createLogKey,
  openCheckpoint,
  originOf,
  parseCheckpointText,
  readCheckpointUnverified,
} from "../../src/log/checkpoint.ts";
import { parseVerifierKey, type VerifierKey } from "../../src/log/note.ts";

const logId = "log_01JD0000000000000000000000" as const;
const root: Digest = `sha256:${"ab".repeat(32)}`;
const signerOf = (isolation: "service" | "none", key = createLogKey()) =>
  createCheckpointSigner({ key, logId, isolation });
const keyOf = (vkey: string): VerifierKey => {
  const parsed = parseVerifierKey(vkey);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};

test("a checkpoint opens with its log's key and says what was signed", () => {
  for (const isolation of ["service", "none"] as const) {
    const signer = signerOf(isolation);
    const note = signer.signCheckpoint(12, root);
    expect(openCheckpoint(note, keyOf(signer.vkey))).toEqual({
      ok: true,
      value: {
        origin: `countersign.dev/log/${logId}`,
        size: 12,
        root,
        isolation,
        extensions: [`isolation ${isolation}`],
      },
    });
  }
});

test("a checkpoint has the bytes of the specification", () => {
  const note = signerOf("none").signCheckpoint(0, root);
  const body = note.slice(0, note.indexOf("\n\n") + 1);
  expect(body).toBe(
    `${originOf(logId)}\n0\n${Buffer.from("ab".repeat(32), "hex").toString("base64")}\nisolation none\n`,
  );
});

test("another log's key does not open a checkpoint, and no changed byte of its text passes", () => {
  const signer = signerOf("service");
  const note = signer.signCheckpoint(7, root);
  expect(openCheckpoint(note, keyOf(signerOf("service").vkey)).ok).toBe(false);
  const key = keyOf(signer.vkey);
  const end = note.indexOf("\n\n");
  fc.assert(
    fc.property(fc.nat(end), fc.integer({ min: 1, max: 127 }), (at, xor) => {
      const changed = note.slice(0, at) + String.fromCharCode(note.charCodeAt(at) ^ xor) + note.slice(at + 1);
      expect(openCheckpoint(changed, key).ok).toBe(false);
    }),
  );
});

test("a checkpoint about another log is refused even where the key signed it", () => {
  const key = createLogKey();
  const other = createCheckpointSigner({ key, logId: "log_01JD0000000000000000000001", isolation: "none" });
  const note = other.signCheckpoint(1, root);
  expect(openCheckpoint(note, keyOf(signerOf("none", key).vkey)).ok).toBe(false);
});

test("the specification's example parses", () => {
  const { checkpointExample } = JSON.parse(
    readFileSync(new URL("../vectors/signed-note.json", import.meta.url), "utf8"),
  ) as { checkpointExample: string };
  expect(readCheckpointUnverified(checkpointExample)).toMatchObject({
    ok: true,
    value: { origin: "example.com/behind-the-sofa", size: 20_852_163, isolation: null, extensions: [] },
  });
});

test("a malformed text is refused", () => {
  const encoded = Buffer.from("ab".repeat(32), "hex").toString("base64");
  const good = `o\n1\n${encoded}\n`;
  expect(parseCheckpointText(good).ok).toBe(true);
  expect(parseCheckpointText(`${good}later extension\n`).ok).toBe(true);
  for (const bad of [
    good.slice(0, -1),
    `\n1\n${encoded}\n`,
    `o\n01\n${encoded}\n`,
    `o\n-1\n${encoded}\n`,
    `o\n99999999999999999\n${encoded}\n`,
    `o\n1\n${encoded.slice(4)}\n`,
    `o\n1\n${encoded}=\n`,
    `o\n1\n`,
    `${good}\n`,
    `${good}isolation maybe\n`,
    `${good}isolation none\nisolation service\n`,
  ]) {
    expect(parseCheckpointText(bad).ok, JSON.stringify(bad)).toBe(false);
  }
});
