import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createCheckpointSigner, createLogKey, openCheckpoint } from "../../src/log/checkpoint.ts";
import { cosignedAt, createCosigner } from "../../src/log/cosignature.ts";
import { cosignatureTime, cosignedBytes, parseNote, parseVerifierKey } from "../../src/log/note.ts";

// C2SP tlog-cosignature: the published examples, and an implementation in another language.

const { cosignature: vectors } = JSON.parse(
  readFileSync(new URL("../vectors/signed-note.json", import.meta.url), "utf8"),
) as {
  cosignature: {
    note: string;
    time: number;
    signedFront: string;
    times: { line: string; time: number | null }[];
    vkeys: string[];
    badVkeys: string[];
  };
};
const keyOf = (vkey: string) => {
  const parsed = parseVerifierKey(vkey);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const newKey = (): string =>
  generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }) as string;
const name = "witness.example.com/w1";
const logId = "log_01JD0000000000000000000000" as const;
const signer = createCheckpointSigner({ key: createLogKey(), logId, isolation: "none" });
const note = signer.signCheckpoint(12, `sha256:${"ab".repeat(32)}`);
const place = mkdtempSync(join(tmpdir(), "countersign-cosign-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

test("the example of the specification parses, with its time and the bytes that were signed", () => {
  const parsed = parseNote(vectors.note);
  if (!parsed.ok) throw new Error(parsed.error);
  const { text, signatures } = parsed.value;
  expect(signatures.map((one) => one.name)).toEqual(["example.com/behind-the-sofa", name]);
  expect(cosignatureTime(signatures[1]?.signature as Uint8Array)).toBe(vectors.time);
  expect(cosignedBytes(Buffer.from(text), vectors.time).toString()).toBe(vectors.signedFront);
});

test("published signatures carry the time that they do, and a note's own signature none", () => {
  for (const { line, time } of vectors.times) {
    expect(cosignatureTime(Buffer.from(line, "base64").subarray(4))).toBe(time);
  }
});

test("keys of witnesses that exist parse, and one with the id of another algorithm does not", () => {
  for (const vkey of vectors.vkeys) expect(keyOf(vkey)).toMatchObject({ text: vkey, algorithm: 4 });
  for (const vkey of vectors.badVkeys) expect(parseVerifierKey(vkey).ok).toBe(false);
});

test("a cosigned checkpoint opens with the log's key as before, and says when the witness saw it", () => {
  const cosigner = createCosigner({ name, privateKeyPem: newKey() });
  const cosigned = cosigner.cosign(note, 1_700_000_000);
  expect(openCheckpoint(cosigned, keyOf(signer.vkey))).toMatchObject({ ok: true, value: { size: 12 } });
  expect(cosignedAt(cosigned, keyOf(cosigner.vkey))).toEqual({ ok: true, value: 1_700_000_000 });
  // Again: the line is replaced, and other witnesses' lines stay.
  const other = createCosigner({ name: "other.example.com", privateKeyPem: newKey() });
  const both = cosigner.cosign(other.cosign(cosigned, 5), 1_700_000_001);
  expect(both.match(/^— /gmu)).toHaveLength(3);
  expect(cosignedAt(both, keyOf(cosigner.vkey))).toEqual({ ok: true, value: 1_700_000_001 });
  expect(cosignedAt(both, keyOf(other.vkey))).toEqual({ ok: true, value: 5 });
  expect(cosignedAt(note, keyOf(cosigner.vkey)).ok).toBe(false);
  expect(cosignedAt(both, keyOf(signer.vkey)).ok).toBe(false);
});

test("no changed byte of the text, its extension lines, the time or the signature passes", () => {
  const cosigner = createCosigner({ name, privateKeyPem: newKey() });
  const cosigned = cosigner.cosign(note, 1_700_000_000);
  const key = keyOf(cosigner.vkey);
  const parsed = parseNote(cosigned);
  if (!parsed.ok) throw new Error(parsed.error);
  const end = cosigned.indexOf("\n\n");
  fc.assert(
    fc.property(fc.nat(end), fc.integer({ min: 1, max: 127 }), (at, xor) => {
      const changed =
        cosigned.slice(0, at) + String.fromCharCode(cosigned.charCodeAt(at) ^ xor) + cosigned.slice(at + 1);
      expect(cosignedAt(changed, key).ok).toBe(false);
    }),
  );
  const line = cosigned.split("\n").at(-2) as string;
  const [, , encoded = ""] = line.split(" ");
  const raw = Buffer.from(encoded, "base64");
  for (let at = 0; at < raw.length; at += 1) {
    const bad = Buffer.from(raw);
    bad[at] = (bad[at] as number) ^ 1;
    expect(cosignedAt(cosigned.replace(encoded, bad.toString("base64")), key).ok, `byte ${at}`).toBe(false);
  }
});

const SCRIPT = `
import base64, hashlib, struct, subprocess, sys
vkey, note = sys.argv[1], open(sys.argv[2], encoding="utf-8", newline="").read()
name, key_id, key = vkey.split("+", 2)
key = base64.b64decode(key)
assert key[0] == 4 and hashlib.sha256(name.encode() + b"\\n" + key).digest()[:4].hex() == key_id
text, lines = note.rsplit("\\n\\n", 1)
for line in lines.splitlines():
    dash, signer, blob = line.split(" ")
    blob = base64.b64decode(blob)
    if signer != name or blob[:4].hex() != key_id: continue
    (time,) = struct.unpack(">Q", blob[4:12])
    open("msg", "wb").write(b"cosignature/v1\\ntime %d\\n" % time + text.encode() + b"\\n")
    open("sig", "wb").write(blob[12:])
    open("pub", "wb").write(bytes.fromhex("302a300506032b6570032100") + key[1:])
    done = subprocess.run("openssl pkeyutl -verify -pubin -inkey pub -keyform DER -rawin -in msg -sigfile sig".split())
    print("OK" if done.returncode == 0 else "BAD", time)
`;
const hasTools = ["python3", "openssl"].every((tool) => spawnSync(tool, ["version"]).error === undefined);
if (!hasTools && process.env["COUNTERSIGN_TARGETS"] === "required")
  throw new Error("python3 or openssl is not installed");

test("python and openssl, from the specification alone, verify what we cosign", (context) => {
  if (!hasTools) return context.skip("python3 or openssl is not installed");
  const cosigner = createCosigner({ name, privateKeyPem: newKey() });
  writeFileSync(join(place, "verify.py"), SCRIPT);
  writeFileSync(join(place, "note"), cosigner.cosign(note, 1_732_184_000));
  const done = spawnSync("python3", ["verify.py", cosigner.vkey, "note"], { cwd: place, encoding: "utf8" });
  expect(done.stdout, done.stderr).toMatch(/OK 1732184000\s*$/);
});
