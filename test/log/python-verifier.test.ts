import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { Receipt } from "../../src/log/receipt.ts";
import { verifyReceipt } from "../../src/log/verify.ts";
import { createExampleStory, receiptOfStory } from "../support/log-example.ts";
import { createStory, KEYS, policyDocument, requestId, START } from "../support/log-story.ts";
import { createSoftwareSecurityKey } from "../support/ssh-signing.ts";

// Somebody else's verifier, written from the page and in another language, has to agree with ours.

const script = fileURLToPath(new URL("../vectors/verify_receipt.py", import.meta.url));

function missingTool(): string | null {
  for (const [tool, args] of [
    ["python3", ["--version"]],
    ["openssl", ["version"]],
    ["ssh-keygen", ["-Y", "sign"]],
  ] as const) {
    if (spawnSync(tool, args, { stdio: "ignore" }).error !== undefined) return `${tool} is not installed`;
  }
  return /OpenSSL [3-9]/.test(execFileSync("openssl", ["version"]).toString())
    ? null
    : "openssl is older than 3";
}
const missing = missingTool();
if (missing !== null && process.env["COUNTERSIGN_TARGETS"] === "required") throw new Error(missing);

describe.skipIf(missing !== null)(missing ?? "with python3 and openssl", () => {
  const place = mkdtempSync(join(tmpdir(), "countersign-python-"));
  afterAll(() => rmSync(place, { recursive: true, force: true }));
  let made = 0;
  const python = (...args: string[]): string => {
    const done = spawnSync("python3", [script, ...args], { encoding: "utf8" });
    return (done.stdout + done.stderr).trim().split("\n").at(-1) as string;
  };
  const both = (receipt: Receipt, key: string): { ours: boolean; theirs: string } => {
    const path = join(place, `${made++}.json`);
    writeFileSync(path, JSON.stringify(receipt));
    return { ours: verifyReceipt(receipt, { trustedKeys: [key] }).ok, theirs: python(path, key) };
  };

  test("it accepts the receipts that we accept", async () => {
    const example = createExampleStory();
    expect(both(await receiptOfStory(example), example.log.signer.vkey)).toEqual({
      ours: true,
      theirs: `OK ${requestId(1)}: held`,
    });
    const story = createStory();
    story.open();
    story.allowedRequest(requestId(2));
    story.approvedRequest(requestId(1));
    story.allowedRequest(requestId(3));
    for (const [request, state] of [
      [requestId(1), "done"],
      [requestId(2), "done"],
    ] as const) {
      expect(both(await receiptOfStory(story, request), story.log.signer.vkey)).toEqual({
        ours: true,
        theirs: `OK ${request}: ${state}`,
      });
    }
  });

  test("it accepts an sk- key with presence and verification as A3, and neither verifier accepts less", async () => {
    for (const flags of [5, 1, 0]) {
      const soft = createSoftwareSecurityKey();
      const chi = {
        fingerprint: soft.fingerprint,
        sign: (message: Uint8Array, namespace: string) => soft.sign(message, namespace, { flags }),
      };
      const story = createStory({ keys: { ...KEYS, chi } });
      story.open();
      story.received(requestId(1));
      story.planned(requestId(1), "hold");
      story.decided(story.asked(requestId(1)), "chi", {}, { assurance: "A3" });
      const { ours, theirs } = both(await receiptOfStory(story), story.log.signer.vkey);
      expect(ours).toBe(flags === 5);
      expect(theirs).toBe(flags === 5 ? `OK ${requestId(1)}: held` : "FAIL: the assurance is overstated");
    }
  });

  test("it agrees about who was asked when: an escalation, a turn on call, an inquiry, a fixable deny", async () => {
    const minutes = (n: number): string => new Date(START + n * 60_000).toISOString();
    const verdictsOf = async (askedAt: number, decision: "approve" | "deny") => {
      const story = createStory({
        clauses: [
          { from: ["duty"], count: 1, assurance: "A2", escalate: [{ afterMs: 600_000, to: ["sec"] }] },
        ],
        document: policyDocument(KEYS, {
          groups: { duty: ["ben", "eve"], sec: ["chi"] },
          on_call: { duty: { people: ["ben", "eve"], every_ms: 3_600_000, starts: minutes(-90) } },
        }),
      });
      story.open();
      story.received(requestId(1));
      story.planned(requestId(1), "hold");
      const asked = story.asked(requestId(1), {
        asked_at: minutes(askedAt),
        deadline: minutes(askedAt + 30),
      });
      const add = (kind: string, data: object) =>
        story.log.append({ kind, subject: requestId(1), policy: story.revision, data } as never);
      add("inquiry.made", {
        question: asked.digest,
        inquiry: "inq_1",
        person: "ben",
        text: "why?",
        proof: {},
      });
      add("inquiry.answered", { inquiry: "inq_1", text: "so", agent: "claude-desktop" });
      add("consent.reminded", { question: asked.digest, people: ["eve"] });
      add("consent.escalated", { question: asked.digest, steps: [{ clause: 0, step: 0 }], to: ["sec"] });
      if (decision === "deny") {
        story.decided(asked, "eve", { decision, fixable: true }, { clauses: [0] });
        add("consent.settled", {
          outcome: "denied",
          by: ["eve"],
          reason: null,
          solo: false,
          fixable: true,
        });
      } else {
        story.decided(asked, "chi", {}, { clauses: [0] });
        story.settled(requestId(1), "granted", ["chi"]);
        story.granted(requestId(1), asked.digest);
      }
      return both(await receiptOfStory(story), story.log.signer.vkey);
    };
    expect(await verdictsOf(-11, "approve")).toEqual({ ours: true, theirs: `OK ${requestId(1)}: granted` });
    expect(await verdictsOf(-11, "deny")).toEqual({ ours: true, theirs: `OK ${requestId(1)}: denied` });
    expect(await verdictsOf(-9, "approve")).toEqual({ ours: false, theirs: "FAIL: a step not due" });
  });

  test("it refuses what we refuse", async () => {
    const story = createStory();
    story.open();
    story.approvedRequest(requestId(1));
    const receipt = await receiptOfStory(story);
    const key = story.log.signer.vkey;
    const { entries } = receipt;
    const eves = policyDocument({ ...KEYS, ben: KEYS["eve"]! });
    const without = (kind: string) => entries.filter(({ line }) => !line.includes(`"kind":"${kind}"`));
    const cases: Record<string, Receipt> = {
      "a changed line": {
        ...receipt,
        entries: entries.with(3, { ...entries[3]!, line: entries[3]!.line.replace("demo", "prod") }),
      },
      "a changed checkpoint": { ...receipt, checkpoint: receipt.checkpoint.replace("service", "none") },
      "another policy": { ...receipt, policies: [{ revision: story.revision, document: eves }] },
      "another log seen": { ...receipt, witnessed: [] },
      "a changed document": { ...receipt, blobs: [{ ...receipt.blobs[0]!, salt: "00".repeat(16) }] },
      "no decision": { ...receipt, entries: without("decision.recorded") },
      "no grant": { ...receipt, entries: without("grant.minted") },
      "no dispatch": { ...receipt, entries: without("execution.dispatched") },
      "no entry 0": { ...receipt, entries: without("log.opened") },
    };
    for (const [name, bad] of Object.entries(cases)) {
      const { ours, theirs } = both(bad, key);
      expect({ ours, theirs: theirs.slice(0, 5) }, `${name}: ${theirs}`).toEqual({
        ours: false,
        theirs: "FAIL:",
      });
    }
    const swapped = createStory({ document: eves });
    swapped.open();
    swapped.approvedRequest(requestId(1));
    expect(both(await receiptOfStory(swapped), swapped.log.signer.vkey)).toEqual({
      ours: false,
      theirs: "FAIL: the key is not ben's",
    });
  });

  test("it finds the root of a log, and a log that was changed", () => {
    const story = createStory();
    story.open();
    for (let n = 1; n < 60; n += 1) story.allowedRequest(requestId(n));
    const directory = join(place, "log");
    story.log.writeTo(directory, { perSegment: 100 });
    const count = story.log.lines.length;
    expect(python("--log", directory, story.log.signer.vkey)).toBe(
      `OK log: ${count} entries, ${count} signed`,
    );
    const changed = story.log.lines.with(20, (story.log.lines[20] as string).replace("claude", "Claude"));
    story.log.writeTo(directory, { perSegment: 100, lines: changed });
    const bad =
      story.log.lines[20] === changed[20] ? "unchanged" : python("--log", directory, story.log.signer.vkey);
    expect(bad).toBe("FAIL: the log does not have the signed root");
  });
});
