import { expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { digestJson } from "../../src/base/digest.ts";
import { CountersignError, isFault } from "../../src/errors.ts";
import { createCheckpointSigner, createLogKey } from "../../src/log/checkpoint.ts";
import type { FindingCode } from "../../src/log/finding.ts";
import { buildReceipt, formatReceipt, parseReceipt, type Receipt } from "../../src/log/receipt.ts";
import { verifyReceipt, type ReceiptReport } from "../../src/log/verify.ts";
import { createStory, KEYS, LOG_ID, policyDocument, requestId, type Story } from "../support/log-story.ts";

const one = requestId(1);
const resolvePolicy = (text: Uint8Array): JsonObject =>
  JSON.parse(Buffer.from(text).toString()) as JsonObject;
const receiptOf = (
  story: Story,
  change: Partial<Parameters<typeof buildReceipt>[0]> = {},
): Promise<Receipt> =>
  buildReceipt({ store: story.log.store, requestId: one, withBlobs: true, resolvePolicy, ...change });
const verify = (receipt: Receipt | string, story: Story): ReceiptReport =>
  verifyReceipt(receipt, { trustedKeys: [story.log.signer.vkey] });
const codes = (report: ReceiptReport): FindingCode[] => report.findings.map(({ code }) => code);

function busyStory(options: Parameters<typeof createStory>[0] = {}): Story {
  const story = createStory(options);
  story.open();
  for (let n = 10; n < 20; n += 1) story.allowedRequest(requestId(n));
  story.approvedRequest(one);
  for (let n = 20; n < 30; n += 1) story.allowedRequest(requestId(n));
  return story;
}
const story = busyStory();
const receipt = await receiptOf(story);

test("a receipt verifies with nothing but its text and the log's public key", () => {
  const report = verify(formatReceipt(receipt), story);
  expect(report.findings).toEqual([]);
  expect(report.ok).toBe(true);
});

test("the summary says who asked for what, who decided with which key, and how it ended", () => {
  const { summary } = verify(receipt, story);
  expect(summary).toMatchObject({
    request: one,
    isolation: "service",
    tool: "deploy_service",
    requester: { principal: { id: "ana" }, agent: "claude-desktop" },
    planned: { verdict: "hold", summary: "deploy web at 4f2a91c to demo" },
    outcome: { phase: "done", message: "deployed web" },
    quorum: [{ clause: { from: ["sre"], count: 2 }, by: ["ben", "chi"], met: true }],
  });
  expect(summary?.asked?.summary).toMatch(
    /^deploy_service on service web \(demo\), asked by claude-desktop for ana/,
  );
  expect(summary?.decisions).toMatchObject([
    {
      person: "ben",
      name: "Ben Ode",
      decision: "approve",
      ownerProved: true,
      fingerprint: KEYS["ben"]?.fingerprint,
    },
    { person: "chi", name: "Chi Wu", decision: "approve", ownerProved: true, sawLogOf: null, solo: false },
  ]);
  expect(summary?.decisions[0]?.sawLogOf).toBeGreaterThan(60);
  expect(summary?.limits.join("\n")).toContain("only the whole log shows");
});

test("its size does not grow with the log, but by the hashes of a deeper tree (R3)", async () => {
  const small = createStory();
  small.open();
  small.approvedRequest(one);
  const smallSize = formatReceipt(await receiptOf(small)).length;
  for (let n = 10; n < 60; n += 1) small.allowedRequest(requestId(n));
  const grown = formatReceipt(await receiptOf(small)).length;
  expect(small.log.lines.length).toBeGreaterThan(300);
  expect(grown - smallSize).toBeLessThan(receipt.entries.length * 8 * 80);
});

test("where the adoptions are known, only those lines are read besides the request's own", async () => {
  const read: number[] = [];
  const counted = {
    ...story.log.store,
    async *lines(fromSeq: number) {
      for await (const line of story.log.store.lines(fromSeq)) {
        read.push(line.seq);
        yield line;
      }
    },
  };
  const built = await receiptOf(story, { store: counted, adoptions: [1], rotations: [] });
  expect(built).toEqual(receipt);
  expect(read.length).toBeLessThan(5);
});

test("another key than the trusted one, and no key at all, prove nothing", () => {
  const other = createCheckpointSigner({ key: createLogKey(), logId: LOG_ID, isolation: "service" });
  expect(codes(verifyReceipt(receipt, { trustedKeys: [other.vkey] }))).toEqual(["key_mismatch"]);
  expect(codes(verifyReceipt(receipt, { trustedKeys: [] }))).toEqual(["key_mismatch"]);
  const resigned = { ...receipt, checkpoint: other.signCheckpoint(story.log.lines.length, story.log.root()) };
  expect(codes(verify(resigned, story))).toEqual(["checkpoint_invalid"]);
});

test("isolation none is said in the receipt and its summary, and can't be left out (R4)", async () => {
  const laptop = busyStory({ isolation: "none" });
  const built = await receiptOf(laptop);
  const report = verify(built, laptop);
  expect(report).toMatchObject({ ok: true, summary: { isolation: "none" } });
  expect(codes(report)).toEqual(["isolation_none"]);
  expect(report.summary?.limits.join("\n")).toContain("isolation: none");
  expect(codes(verify({ ...built, isolation: "service" }, laptop))).toContain("checkpoint_invalid");
});

test("any changed character of a line, a proof or the checkpoint is found", () => {
  const flip = (text: string, at: number): string =>
    text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
  for (const [i, entry] of receipt.entries.entries()) {
    for (let at = i % 7; at < entry.line.length; at += 97) {
      const changed = {
        ...receipt,
        entries: receipt.entries.with(i, { ...entry, line: flip(entry.line, at) }),
      };
      expect(verify(changed, story).ok, `entry ${i} at ${at}`).toBe(false);
    }
    const proof = entry.proof.with(0, flip(entry.proof[0] as string, 3));
    const changed = { ...receipt, entries: receipt.entries.with(i, { ...entry, proof }) };
    expect(verify(changed, story).ok).toBe(false);
  }
  for (let at = 0; at < receipt.checkpoint.length; at += 11) {
    expect(verify({ ...receipt, checkpoint: flip(receipt.checkpoint, at) }, story).ok).toBe(false);
  }
});

test("entries in another order, twice, or with another number are found", () => {
  const { entries } = receipt;
  const cases: Receipt["entries"][] = [
    entries.toReversed(),
    [...entries, entries.at(-1)!],
    entries.with(3, { ...entries[3]!, seq: entries[3]!.seq + 1 }),
  ];
  for (const changed of cases)
    expect(codes(verify({ ...receipt, entries: changed }, story))).toContain("inclusion_invalid");
});

test("a receipt that leaves out an entry which a rule needs is found", () => {
  const without = (kind: string): Receipt => ({
    ...receipt,
    entries: receipt.entries.filter(({ line }) => !line.includes(`"kind":"${kind}"`)),
  });
  for (const [kind, code] of [
    ["log.opened", "incomplete"],
    ["request.received", "incomplete"],
    ["request.planned", "out_of_order"],
    ["consent.asked", "grant_without_basis"],
    ["decision.recorded", "grant_without_basis"],
    ["consent.settled", "grant_without_basis"],
    ["grant.minted", "execution_without_grant"],
    ["execution.claimed", "dispatch_without_claim"],
    ["execution.dispatched", "outcome_without_dispatch"],
    ["policy.adopted", "blob_mismatch"],
  ] as const) {
    const report = verify(without(kind), story);
    expect(report.ok, kind).toBe(false);
    expect(codes(report), kind).toContain(code);
  }
});

test("without the policy document it is not proved whose key it was, and the receipt says so", async () => {
  const unresolved = await receiptOf(story, { resolvePolicy: () => null });
  const report = verify(unresolved, story);
  expect(report.ok).toBe(false);
  expect([...new Set(codes(report))]).toContain("policy_unproved");
  expect(report.summary?.decisions[0]).toMatchObject({ person: "ben", ownerProved: false, name: null });
  const other = await receiptOf(story, { resolvePolicy: () => ({ version: 2 }) });
  expect(other.policies[0]?.document, "a document that is not the revision is left out").toBeNull();
});

test("a policy document that was swapped for another is found", () => {
  const eves = policyDocument({ ...KEYS, ben: KEYS["eve"]! });
  const changed = { ...receipt, policies: [{ revision: story.revision, document: eves }] };
  expect(codes(verify(changed, story))).toContain("blob_mismatch");
  const renamed = { ...receipt, policies: [{ revision: digestJson("policy", eves), document: eves }] };
  expect(codes(verify(renamed, story))).toContain("blob_mismatch");
});

test("a decision with the key of somebody else, or of nobody, is found", async () => {
  for (const document of [
    policyDocument({ ...KEYS, ben: KEYS["eve"]!, eve: KEYS["ben"]! }),
    policyDocument(KEYS, { people: {} }),
  ]) {
    const wrong = busyStory({ document });
    expect(codes(verify(await receiptOf(wrong), wrong))).toContain("wrong_signer");
  }
});

test("an approval by somebody outside the groups that were asked does not meet the requirement (C2)", async () => {
  const outside = busyStory({ document: policyDocument(KEYS, { groups: { sre: ["ana", "ben"] } }) });
  const report = verify(await receiptOf(outside), outside);
  expect(codes(report)).toEqual(["not_eligible", "grant_without_basis"]);
  expect(report.summary?.quorum[0]).toMatchObject({ by: ["ben"], met: false });
});

test("A3 by a key that was not enrolled as verifying its user is overstated", async () => {
  const story = createStory();
  story.open();
  story.received(one);
  story.planned(one, "hold");
  story.decided(story.asked(one), "ben", {}, { assurance: "A3" });
  expect(codes(verify(await receiptOf(story), story))).toContain("assurance_overstated");
});

test("the log that an approver saw has to be an earlier state of this one", async () => {
  const [seen] = receipt.witnessed;
  expect(receipt.witnessed).toHaveLength(1);
  expect(codes(verify({ ...receipt, witnessed: [] }, story))).toContain("witness_mismatch");
  expect(codes(verify({ ...receipt, witnessed: [{ ...seen!, root: story.log.root(3) }] }, story))).toContain(
    "witness_mismatch",
  );
  const forked = createStory();
  forked.open();
  forked.received(one);
  forked.planned(one, "hold");
  forked.decided(forked.asked(one), "ben", { log: { size: 3, root: story.log.root(2) } });
  expect(codes(verify(await receiptOf(forked), forked))).toContain("witness_mismatch");
});

test("a question about something else than what was received and planned is found (D1)", async () => {
  for (const change of [
    { tool: "export_data" },
    { arguments: digestJson("arguments", 1) },
    { targets: [{ kind: "service", id: "web", environment: "prod" }] },
    { view: digestJson("view", 1) },
    { guard: "another" },
    { reasoning: null },
    { files: [digestJson("file", 1)] },
    { requester: { principal: { kind: "person" as const, id: "eve" }, agent: "x", chain: [], owners: [] } },
  ]) {
    const other = createStory();
    other.open();
    other.received(one);
    other.planned(one, "hold");
    other.asked(one, change);
    expect(codes(verify(await receiptOf(other), other)), Object.keys(change)[0]).toEqual([
      "question_mismatch",
    ]);
  }
});

test("documents come with their salt and are checked against the entries that name them", () => {
  expect(receipt.blobs.map(({ tag }) => tag)).toEqual(["policy", "arguments", "reasoning", "view"]);
  const [policy, masked] = receipt.blobs;
  const changed = Buffer.from("{}").toString("base64");
  expect(codes(verify({ ...receipt, blobs: [{ ...masked!, bytes: changed }] }, story))).toEqual([
    "blob_mismatch",
  ]);
  expect(codes(verify({ ...receipt, blobs: [{ ...masked!, tag: "view" }] }, story))).toEqual([
    "blob_mismatch",
  ]);
  expect(codes(verify({ ...receipt, blobs: [{ ...policy!, salt: "00" }] }, story))).toEqual([
    "blob_mismatch",
  ]);
});

test("a document that was erased is named as missing, and the rest still verifies", async () => {
  const { store } = story.log;
  const erased = {
    ...store,
    blobs: {
      ...store.blobs,
      get: (tag: "reasoning", ref: Parameters<typeof store.blobs.get>[1]) =>
        tag === "reasoning"
          ? Promise.reject(new CountersignError("BLOB_MISSING", "gone"))
          : store.blobs.get(tag, ref),
    },
  };
  const built = await receiptOf(story, { store: erased as typeof store });
  expect(built.missing).toMatchObject([{ tag: "reasoning" }]);
  expect(verify(built, story).ok).toBe(true);
  expect((await receiptOf(story, { withBlobs: false })).blobs).toEqual([]);
});

test("a lease that the request opened is in its receipt (X3)", async () => {
  const leased = createStory();
  leased.open();
  leased.received(one);
  leased.planned(one, "allow");
  const grant = leased.granted(one, null);
  leased.claimed(one, grant);
  leased.dispatched(one, grant);
  leased.log.append({
    kind: "lease.opened",
    subject: "lse_01JD7Z00000000000000000001",
    policy: leased.revision,
    data: {
      request: one,
      tool: "change_access",
      undo: leased.log.putBlob("undo", Buffer.from("{}")),
      ends_at: "2026-11-21T11:00:00.000Z",
    },
  });
  leased.ended(one, grant);
  const built = await receiptOf(leased);
  expect(built.entries.some(({ line }) => line.includes("lease.opened"))).toBe(true);
  expect(verify(built, leased).findings).toEqual([]);
});

test("a request that was refused, or that still waits, has a receipt too", async () => {
  const refused = createStory();
  refused.open();
  refused.log.append({
    kind: "request.refused",
    subject: one,
    policy: refused.revision,
    data: {
      code: "unknown_tool",
      denied_by: "gate",
      message: "no such tool",
      rules: [],
      because: [],
      attempt: { tool: "x", principal: "ana", agent: "claude-desktop", transport: "stdio" },
    },
  });
  const report = verify(await receiptOf(refused), refused);
  expect(report).toMatchObject({
    ok: true,
    summary: { outcome: { phase: "refused", message: "no such tool" } },
  });

  const waiting = createStory();
  waiting.open();
  waiting.received(one);
  waiting.planned(one, "hold");
  waiting.decided(waiting.asked(one), "ben");
  expect(verify(await receiptOf(waiting), waiting)).toMatchObject({
    ok: true,
    summary: { outcome: { phase: "held" }, quorum: [{ by: ["ben"], met: false }] },
  });
});

test("a request that does not exist has none", async () => {
  await expect(receiptOf(story, { requestId: requestId(999) })).rejects.toSatisfy((error) =>
    isFault(error, "REQUEST_NOT_FOUND"),
  );
});

test("a file that is no receipt is refused with what is wrong", () => {
  const text = formatReceipt(receipt);
  expect(parseReceipt(text)).toEqual({ ok: true, value: receipt });
  for (const bad of [
    "",
    "[]",
    "null",
    '"x"',
    text.replace('"countersign.receipt"', '"receipt"'),
    text.replace('"v": 1', '"v": 2'),
    JSON.stringify({ ...receipt, entries: [{ seq: -1, line: "", proof: [] }] }),
    JSON.stringify({ ...receipt, entries: [{ seq: 0, line: "", proof: ["x"] }] }),
    JSON.stringify({ ...receipt, checkpoint: 3 }),
    JSON.stringify({ ...receipt, blobs: null }),
    JSON.stringify({ ...receipt, policies: [{ revision: "x", document: {} }] }),
  ]) {
    expect(codes(verify(bad, story)), bad.slice(0, 60)).toEqual(["receipt_malformed"]);
  }
});

test("lines of any shape never crash the verifier", async () => {
  const verdicts: boolean[] = [];
  const shapes = [null, 7, {}, { question: {} }, { question: { targets: 1 }, requirement: { clauses: 2 } }];
  for (const data of shapes) {
    for (const kind of [
      "request.received",
      "request.planned",
      "consent.asked",
      "decision.recorded",
      "grant.minted",
    ]) {
      const odd = createStory();
      odd.open();
      odd.received(one);
      odd.planned(one, "hold");
      odd.asked(one);
      odd.log.append({ kind: kind as "throttled", subject: one, policy: odd.revision, data: data as never });
      // Building reads some of it too; whoever forges a receipt builds it himself.
      const built = await receiptOf(odd, { withBlobs: false }).catch(() => null);
      if (built !== null) verdicts.push(verify(built, odd).ok);
    }
  }
  expect(verdicts.length).toBeGreaterThan(10);
  expect(verdicts).not.toContain(true);
});
