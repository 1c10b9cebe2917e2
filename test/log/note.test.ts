import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createLogKey } from "../../src/log/checkpoint.ts";
import {
  createNoteSigner,
  formatNote,
  openNote,
  parseNote,
  parseVerifierKey,
  type VerifierKey,
} from "../../src/log/note.ts";

interface Vectors {
  vkeys: { vkey: string }[];
  badVkeys: { vkey: string }[];
  seed: { vkey: string; skey: string };
  text: string;
  peterLine: string;
  enochLine: string;
  noteExample: string;
  checkpointExample: string;
}
const vectors = JSON.parse(
  readFileSync(new URL("../vectors/signed-note.json", import.meta.url), "utf8"),
) as Vectors;

const key = (vkey: string): VerifierKey => {
  const parsed = parseVerifierKey(vkey);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const [peter, enoch] = vectors.vkeys.map(({ vkey }) => key(vkey)) as [VerifierKey, VerifierKey];
const { text, peterLine, enochLine } = vectors;
const signed = `${text}\n${peterLine}${enochLine}`;

test("published verifier keys parse and keep their text", () => {
  for (const { vkey } of vectors.vkeys) expect(key(vkey)).toMatchObject({ text: vkey, algorithm: 1 });
});

test("a verifier key with any character lost or changed is refused", () => {
  const { vkey } = vectors.vkeys[0] as { vkey: string };
  for (let i = 0; i <= vkey.length; i += 1) {
    for (let j = i + 1; j <= vkey.length; j += 1) {
      if (i !== 0 || j !== vkey.length)
        expect(parseVerifierKey(vkey.slice(i, j)).ok, vkey.slice(i, j)).toBe(false);
    }
    if (i < vkey.length) {
      const changed = vkey.slice(0, i) + String.fromCharCode(vkey.charCodeAt(i) + 1) + vkey.slice(i + 1);
      expect(parseVerifierKey(changed).ok, changed).toBe(false);
    }
  }
  for (const bad of vectors.badVkeys) expect(parseVerifierKey(bad.vkey).ok, bad.vkey).toBe(false);
});

test("the published seed signs the published note byte for byte", () => {
  const encoded = vectors.seed.skey.slice("PRIVATE+KEY+PeterNeumann+c74f20a3+".length);
  const seed = Buffer.from(encoded, "base64").subarray(1);
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const privateKeyPem = createPrivateKey({ key: der, format: "der", type: "pkcs8" })
    .export({ format: "pem", type: "pkcs8" })
    .toString();
  const signer = createNoteSigner({ name: "PeterNeumann", privateKeyPem });
  expect(signer.vkey).toBe(vectors.seed.vkey);
  expect(signer.sign(text)).toBe(`${text}\n${peterLine}`);
});

test("a note opens with either of its keys; the other signature stays as unknown (N2)", () => {
  const byPeter = openNote(signed, [peter]);
  expect(byPeter).toMatchObject({
    ok: true,
    value: { text, signedBy: [peter], unknown: [{ name: "EnochRoot" }] },
  });
  expect(openNote(signed, [enoch])).toMatchObject({ ok: true, value: { signedBy: [enoch] } });
  expect(openNote(signed, [peter, enoch])).toMatchObject({
    ok: true,
    value: { signedBy: [peter, enoch], unknown: [] },
  });
  expect(openNote(signed, [])).toMatchObject({ ok: false });
});

test("one bad signature of a known key refuses the note, even beside a good one (N2)", () => {
  const wrong = peterLine.replace("/ZJk", "/ZJl");
  expect(openNote(`${text}\n${wrong}${enochLine}`, [peter, enoch]).ok).toBe(false);
  expect(openNote(`${text}\n${wrong}${enochLine}`, [enoch]).ok).toBe(true);
  expect(openNote(`${text}x\n\n${peterLine}`, [peter]).ok).toBe(false);
});

test("a name alone, or an id alone, does not make a key known", () => {
  expect(openNote(`${text}\n${peterLine.replace("PeterNeumann", "CarmenSandiego")}`, [peter]).ok).toBe(false);
  expect(openNote(`${text}\n${peterLine.replace("x08g", "xxxx")}`, [peter]).ok).toBe(false);
});

test("the published malformed notes are refused", () => {
  for (const bad of [
    "",
    text,
    `${text}\n`,
    `${text}\n${peterLine.slice(0, -1)}`,
    `\x01${text}\n${peterLine}`,
    `\ud800${text}\n${peterLine}`,
    `${text}\n${peterLine.replace("PeterNeumann", "Bad Name")}`,
    `${text}\n${peterLine.replace("PeterNeumann", "Bad+Name")}`,
    `${text}\n${peterLine}Unexpected line.\n`,
    `${text}\n${peterLine}`.replaceAll("\n", "\r\n"),
    `${text}\n${peterLine.repeat(101)}`,
    `${text}\n${peterLine.replace("=\n", "\n")}`,
    `${text}\n${peterLine.replace("— ", "- ")}`,
  ]) {
    expect(parseNote(bad).ok, JSON.stringify(bad.slice(0, 200))).toBe(false);
  }
});

test("the notes of the specifications read back as they are written, empty lines in the text included", () => {
  for (const note of [vectors.noteExample, vectors.checkpointExample, signed]) {
    const parsed = parseNote(note);
    expect(parsed.ok && formatNote(parsed.value)).toBe(note);
  }
  const example = parseNote(vectors.noteExample);
  expect(example).toMatchObject({
    ok: true,
    value: { signatures: [{ name: "quasimodo.example/salvatore" }] },
  });
});

test("whatever parses is exactly what formatting writes (N1)", () => {
  const note = createNoteSigner({ name: "countersign.dev/log/x", privateKeyPem: createLogKey() }).sign(
    "a\n\nb\n",
  );
  fc.assert(
    fc.property(fc.nat(note.length - 1), fc.constantFrom("", "\n", " ", "A", "=", "é", "+"), (at, put) => {
      const changed = note.slice(0, at) + put + note.slice(at + 1);
      const parsed = parseNote(changed);
      if (parsed.ok) expect(formatNote(parsed.value)).toBe(changed);
    }),
    { numRuns: 2_000 },
  );
});

test("a text that can't stand in a note is not signed", () => {
  const signer = createNoteSigner({ name: "log", privateKeyPem: createLogKey() });
  expect(() => signer.sign("no newline")).toThrow(RangeError);
  expect(() => signer.sign("tab\there\n")).toThrow(RangeError);
  expect(() => createNoteSigner({ name: "a b", privateKeyPem: createLogKey() }).sign("x\n")).toThrow(
    RangeError,
  );
});
