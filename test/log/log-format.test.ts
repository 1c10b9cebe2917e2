import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { canonicalJson } from "../../src/base/canonical-json.ts";
import { requestCode, type Digest } from "../../src/base/digest.ts";
import { verifySshSignature } from "../../src/base/sshsig.ts";
import { SSHSIG_NAMESPACE } from "../../src/consent/statement.ts";
import { openCheckpoint } from "../../src/log/checkpoint.ts";
import { FINDINGS } from "../../src/log/finding.ts";
import { parseVerifierKey } from "../../src/log/note.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { exampleMarkdown } from "../support/log-example.ts";

// The page has to be right: other people write verifiers from it. What its example says is recomputed here from its own
// text, by the definitions it gives.

const page = readFileSync(new URL("../../docs/log-format.md", import.meta.url), "utf8");
const block = (name: string): string => {
  const [, text] = new RegExp(`\`\`\`text example:${name}\n([\\s\\S]*?)\n\`\`\``).exec(page) ?? [];
  if (text === undefined) throw new Error(`the page has no example ${name}`);
  return text;
};
const sha256 = (...parts: (string | Uint8Array)[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const lines = block("lines").split("\n");
const entries = lines.map((line) => JSON.parse(line) as { data: Record<string, Record<string, unknown>> });

test("the page's example is the one that the code writes today", () => {
  expect(page).toContain(exampleMarkdown());
});

test("leaves and root follow from the lines (§3)", () => {
  const leaves = lines.map((line) => sha256(Buffer.of(0), line));
  expect(leaves.map((leaf) => leaf.toString("hex")).join("\n")).toBe(block("leaves"));
  const node = (left: Buffer, right: Buffer): Buffer => sha256(Buffer.of(1), left, right);
  const [a, b, c, d, e, f] = leaves as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
  expect(node(node(node(a, b), node(c, d)), node(e, f)).toString("hex")).toBe(block("root"));
});

test("key id, checkpoint text and signature follow from the key and the root (§4)", () => {
  const [name, id, encoded] = block("vkey").split("+", 3) as [string, string, string];
  const typed = Buffer.from(block("vkey").slice(name.length + id.length + 2), "base64");
  expect(encoded).toBeDefined();
  expect(sha256(`${name}\n`, typed).toString("hex").slice(0, 8)).toBe(id);
  const note = block("checkpoint");
  const root = Buffer.from(block("root"), "hex").toString("base64");
  expect(note.startsWith(`${name}\n${lines.length}\n${root}\nisolation service\n\n— ${name} `)).toBe(true);
  const key = parseVerifierKey(block("vkey"));
  expect(key.ok && openCheckpoint(note, key.value)).toMatchObject({
    ok: true,
    value: { size: lines.length },
  });
});

test("revision, question digest, code and statement digest follow from the documents (§5–§8)", () => {
  const digest = (tag: string, bytes: string): string =>
    `sha256:${sha256(`countersign.${tag}.v1\n`, bytes).toString("hex")}`;
  expect(digest("policy", block("policy"))).toBe(block("revision"));
  expect(entries[1]?.data["revision"]).toBe(block("revision"));
  expect(canonicalJson(entries[4]?.data["question"])).toBe(block("question"));
  const [question, code] = block("digest").split("\n") as [Digest, string];
  expect(digest("question", block("question"))).toBe(question);
  expect(requestCode(question)).toBe(code);
  expect(digest("requirement", canonicalJson(entries[4]?.data["requirement"]))).toBe(
    entries[4]?.data["question"]?.["requirement"],
  );
  const statement = block("statement");
  expect(statement).toBe(`countersign.decision.v1\n${canonicalJson(entries[5]?.data["statement"])}`);
  expect(digest("statement", statement)).toBe(block("statement-digest"));
});

test("the signature is Ben's, over the statement bytes, in the page's namespace (§8)", () => {
  const checked = verifySshSignature({
    armoured: block("signature"),
    message: Buffer.from(block("statement")),
    namespace: SSHSIG_NAMESPACE,
  });
  const policy = JSON.parse(block("policy")) as { people: { ben: { ssh: { fingerprint: string }[] } } };
  expect(checked).toMatchObject({ ok: true, value: { fingerprint: policy.people.ben.ssh[0]?.fingerprint } });
  expect(page).toContain(SSHSIG_NAMESPACE);
});

test("the example is a log that verifies", async () => {
  async function* source() {
    for (const line of lines) yield { bytes: Buffer.from(line) };
  }
  const report = await verifyLog(source(), { key: block("vkey"), checkpoint: block("checkpoint") });
  expect(report.findings).toEqual([]);
  expect(report).toMatchObject({ ok: true, entries: lines.length });
});

test("every code that a verifier may report stands on the page", () => {
  for (const code of Object.keys(FINDINGS)) expect(page, code).toContain(`\`${code}\``);
});
