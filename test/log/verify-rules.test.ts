import { expect, test } from "vitest";
import { digestJson } from "../../src/base/digest.ts";
import { codeOf, questionDigest } from "../../src/consent/question.ts";
import { SSHSIG_NAMESPACE } from "../../src/consent/statement.ts";
import type { FindingCode } from "../../src/log/finding.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { createStory, KEYS, requestId, START, type Story } from "../support/log-story.ts";
import { sshProof } from "../support/ssh-proof.ts";
import { createSoftwareSecurityKey } from "../support/ssh-signing.ts";

// Can a gateway that was broken, or bent, write a log that hangs together byte for byte and still breaks a rule? Every
// log here has the right root and the right signature: only what its entries say is wrong.

const one = requestId(1);

async function judge(story: Story): Promise<{ code: FindingCode; rule: string | null }[]> {
  const { log } = story;
  const report = await verifyLog(log.store.lines(0), { key: log.signer.vkey, checkpoint: log.checkpoint() });
  return report.findings.map(({ code, rule }) => ({ code, rule }));
}

function opened(options: Parameters<typeof createStory>[0] = {}): Story {
  const story = createStory(options);
  story.open();
  return story;
}

function held(options: Parameters<typeof createStory>[0] = {}) {
  const story = opened(options);
  story.received(one);
  story.planned(one, "hold");
  return { story, asked: story.asked(one) };
}

function granted() {
  const { story, asked } = held();
  story.decided(asked, "ben");
  story.decided(asked, "chi");
  story.settled(one, "granted", ["ben", "chi"]);
  return { story, grant: story.granted(one, asked.digest) };
}

test("an approved and an allowed request break no rule", async () => {
  const story = opened();
  story.approvedRequest(one);
  story.allowedRequest(requestId(2));
  expect(await judge(story)).toEqual([]);
});

test("every way in which a request may end breaks no rule", async () => {
  const ends: ((story: Story, request: ReturnType<typeof requestId>) => void)[] = [
    (story, request) => {
      story.received(request);
      story.log.append({
        kind: "request.refused",
        subject: request,
        policy: story.revision,
        data: {
          code: "denied_by_policy",
          denied_by: "policy",
          message: "",
          rules: [],
          because: [],
          attempt: null,
        },
      });
    },
    (story, request) => {
      story.received(request);
      story.planned(request, "hold");
      const asked = story.asked(request);
      story.decided(asked, "ben", { decision: "deny" });
      story.settled(request, "denied", ["ben"]);
    },
    (story, request) => {
      story.received(request);
      story.planned(request, "hold");
      story.asked(request);
      const data = { at: "consent" as const, deadline: new Date(START).toISOString() };
      story.log.append({ kind: "request.expired", subject: request, policy: story.revision, data });
    },
    (story, request) => {
      story.received(request);
      story.planned(request, "allow");
      story.claimed(request, story.granted(request, null));
      const data = { why: "guard_changed" as const, message: "" };
      story.log.append({ kind: "request.stale", subject: request, policy: story.revision, data });
    },
    (story, request) => {
      story.received(request);
      story.planned(request, "allow");
      const grant = story.granted(request, null);
      story.claimed(request, grant, 1);
      story.claimed(request, grant, 2);
      story.dispatched(request, grant, 2);
      story.ended(request, grant, "unknown");
      const data = { grant, outcome: "done" as const, by: "person" as const, person: "ben", message: "" };
      story.log.append({ kind: "execution.resolved", subject: request, policy: story.revision, data });
      const late = { grant, message: "", output: null };
      story.log.append({ kind: "execution.late", subject: request, policy: story.revision, data: late });
    },
  ];
  const story = opened();
  for (const [i, end] of ends.entries()) end(story, requestId(i));
  expect(await judge(story)).toEqual([]);
});

test("an execution without a grant is found (G1)", async () => {
  const claimed = opened();
  claimed.received(one);
  claimed.planned(one, "allow");
  claimed.claimed(one, "grt_01JD7Z00000000000000000000");
  expect(await judge(claimed)).toEqual([{ code: "execution_without_grant", rule: "G1" }]);

  const { story, grant } = granted();
  story.claimed(one, "grt_01JD7Z0000000000000000000Z");
  story.dispatched(one, grant);
  story.ended(one, grant);
  expect(await judge(story)).toEqual([{ code: "execution_without_grant", rule: "G1" }]);

  const ended = granted();
  const data = { by: "ana", reason: null };
  ended.story.log.append({ kind: "request.withdrawn", subject: one, policy: ended.story.revision, data });
  ended.story.dispatched(one, ended.grant);
  expect(await judge(ended.story)).toEqual([{ code: "execution_without_grant", rule: "G1" }]);
});

test("a grant that rests on nothing is found (G2)", async () => {
  const basis = [{ code: "grant_without_basis", rule: "G2" }];
  for (const verdict of ["hold", "deny"] as const) {
    const story = opened();
    story.received(one);
    story.planned(one, verdict);
    story.granted(one, null);
    expect(await judge(story)).toEqual(basis);
  }

  const unsettled = held();
  unsettled.story.decided(unsettled.asked, "ben");
  unsettled.story.granted(one, unsettled.asked.digest);
  expect(await judge(unsettled.story)).toEqual(basis);

  const unplanned = opened();
  unplanned.received(one);
  unplanned.granted(one, null);
  expect(await judge(unplanned)).toEqual(basis);
});

test("a grant with too few people is found, whoever settled it (G2, C2, C3)", async () => {
  const grantWith = async (people: (parts: ReturnType<typeof held>) => void) => {
    const parts = held();
    people(parts);
    parts.story.settled(one, "granted", []);
    parts.story.granted(one, parts.asked.digest);
    return judge(parts.story);
  };
  const basis = { code: "grant_without_basis", rule: "G2" };
  expect(await grantWith(({ story, asked }) => void story.decided(asked, "ben"))).toEqual([basis]);
  expect(
    await grantWith(({ story, asked }) => {
      story.decided(asked, "ben");
      story.decided(asked, "ben", { reason: "again" });
    }),
    "one person twice is one person",
  ).toEqual([basis]);
  expect(
    await grantWith(({ story, asked }) => {
      story.decided(asked, "ben");
      story.decided(asked, "eve", {}, { counted: false, why_not: "not_eligible" });
    }),
    "a decision that was not counted",
  ).toEqual([basis]);
  expect(
    await grantWith(({ story, asked }) => {
      const first = story.decided(asked, "ben");
      story.decided(asked, "ben", { decision: "take_back", takes_back: first.statement_digest });
      story.decided(asked, "chi");
    }),
    "an approval that was taken back",
  ).toEqual([basis]);
});

test("a grant whose approvals are weaker than a clause is found (C3)", async () => {
  const { story, asked } = held({ clauses: [{ from: ["sre"], count: 1, assurance: "A3" }] });
  story.decided(asked, "ben");
  story.settled(one, "granted", ["ben"]);
  story.granted(one, asked.digest);
  expect(await judge(story)).toEqual([{ code: "grant_without_basis", rule: "G2" }]);
});

test("a grant over another question or another plan than the approved one is found (G2, D1)", async () => {
  for (const change of [{ question: digestJson("question", 1) }, { plan: digestJson("plan", 1) }]) {
    const { story, asked } = held();
    story.decided(asked, "ben");
    story.decided(asked, "chi");
    story.settled(one, "granted", ["ben", "chi"]);
    story.log.append({
      kind: "grant.minted",
      subject: one,
      policy: story.revision,
      data: {
        grant: "grt_01JD7Z00000000000000000001",
        basis: "consent",
        question: asked.digest,
        plan: asked.question.plan,
        execute_by: new Date(START + 600_000).toISOString(),
        ...change,
      },
    });
    expect(await judge(story)).toEqual([{ code: "grant_without_basis", rule: "G2" }]);
  }
});

test("a grant spent twice is found: at once, after its outcome, and after an unknown one (G3, X2)", async () => {
  const twice = { code: "grant_spent_twice", rule: "G3" };
  for (const outcome of [null, "done", "failed", "unknown"] as const) {
    const { story, grant } = granted();
    story.claimed(one, grant);
    story.dispatched(one, grant);
    if (outcome !== null) story.ended(one, grant, outcome);
    story.dispatched(one, grant);
    expect(await judge(story), String(outcome)).toEqual([twice]);
  }
});

test("a grant spent after its time is found, with a few seconds' slack for clocks (G3)", async () => {
  const late = async (executeBy: number) => {
    const story = opened();
    story.received(one);
    story.planned(one, "hold");
    const asked = story.asked(one);
    story.decided(asked, "ben");
    story.decided(asked, "chi");
    story.settled(one, "granted", []);
    const grant = "grt_01JD7Z00000000000000000001";
    story.log.append({
      kind: "grant.minted",
      subject: one,
      policy: story.revision,
      data: {
        grant,
        basis: "consent",
        question: asked.digest,
        plan: asked.question.plan,
        execute_by: new Date(executeBy).toISOString(),
      },
    });
    story.claimed(one, grant);
    story.dispatched(one, grant);
    return judge(story);
  };
  expect(await late(START)).toEqual([
    { code: "grant_expired", rule: "G3" },
    { code: "grant_expired", rule: "G3" },
  ]);
  expect(await late(START + 6_000)).toEqual([]);
});

test("a change of somebody unknown, and a question asked for them, are found; an allowed read is not (C1)", async () => {
  const nobody = {
    principal: { kind: "unresolved" as const, id: "1000@laptop" },
    agent: "claude-desktop",
    chain: [],
    owners: ["ana"],
    unresolved: ["principal" as const],
  };
  const found = [{ code: "requester_unresolved", rule: "C1" }];
  const changed = opened();
  changed.received(one, { requester: nobody });
  expect(await judge(changed)).toEqual(found);
  const readOnly = opened();
  readOnly.received(one, { requester: nobody, effect: "read" });
  readOnly.planned(one, "allow");
  expect(await judge(readOnly)).toEqual([]);
  const asking = held();
  const data = structuredClone(asking.asked);
  const question = { ...data.question, requester: { ...data.question.requester, unresolved: ["agent"] } };
  asking.story.log.lines.pop();
  asking.story.log.append({
    kind: "consent.asked",
    subject: one,
    policy: asking.story.revision,
    data: { ...data, question, digest: questionDigest(question), code: codeOf(question) },
  });
  expect(await judge(asking.story)).toEqual(found);
});

test("claim, dispatch and outcome stand in this order (X1)", async () => {
  const unclaimed = granted();
  unclaimed.story.dispatched(one, unclaimed.grant);
  expect(await judge(unclaimed.story)).toEqual([{ code: "dispatch_without_claim", rule: "X1" }]);
  const undispatched = granted();
  undispatched.story.claimed(one, undispatched.grant);
  undispatched.story.ended(one, undispatched.grant);
  expect(await judge(undispatched.story)).toEqual([{ code: "outcome_without_dispatch", rule: "X1" }]);
});

test("a lease belongs to a request that was dispatched (X3)", async () => {
  const { story, grant } = granted();
  const lease = (n: number, request: string): void => {
    story.log.append({
      kind: "lease.opened",
      subject: `lse_01JD7Z0000000000000000000${n}`,
      policy: story.revision,
      data: {
        request,
        tool: "change_access",
        undo: story.log.putBlob("undo", Buffer.from("{}")),
        ends_at: new Date(START).toISOString(),
      },
    });
  };
  lease(1, one);
  story.claimed(one, grant);
  story.dispatched(one, grant);
  lease(2, one);
  const end = { lease: "lse_01JD7Z00000000000000000002" as const, attempts: 1 };
  story.log.append({ kind: "lease.ended", subject: end.lease, policy: story.revision, data: end });
  expect(await judge(story)).toEqual([{ code: "lease_without_dispatch", rule: "X3" }]);
  story.log.append({ kind: "lease.ended", subject: end.lease, policy: story.revision, data: end });
  expect((await judge(story))[1]).toEqual({ code: "out_of_order", rule: null });
});

test("a question that was changed after it was asked is found (D1)", async () => {
  const { story, asked } = held();
  const line = story.log.lines.at(-1) as string;
  for (const [from, to] of [
    [asked.question.nonce, "0".repeat(32)],
    [`"code":"${asked.code}"`, '"code":"AAAAAA"'],
    ['"withinMs":1800000', '"withinMs":1800001'],
    [`"request":"${one}"`, `"request":"${requestId(2)}"`],
  ] as const) {
    story.log.lines[story.log.lines.length - 1] = line.replace(from, to);
    const found = await judge(story);
    expect(
      found.map(({ code }) => code.replace("requirement", "question")),
      from,
    ).toContain("question_mismatch");
  }
});

test("a question about another plan than the one that was shown is found (D1)", async () => {
  const story = opened();
  story.received(one);
  story.planned(one, "hold");
  story.asked(one, { plan: digestJson("plan", "another") });
  expect(await judge(story)).toEqual([{ code: "question_mismatch", rule: "D1" }]);
});

test("a decision's statement and signature are checked again, field by field", async () => {
  const cases: [string, FindingCode, (parts: ReturnType<typeof held>) => void][] = [
    [
      "another question",
      "question_mismatch",
      ({ story, asked }) => void story.decided(asked, "ben", { question: digestJson("question", 1) }),
    ],
    [
      "another summary",
      "summary_mismatch",
      ({ story, asked }) => void story.decided(asked, "ben", { summary: "harmless" }),
    ],
    [
      "another person",
      "wrong_signer",
      ({ story, asked }) => void story.decided(asked, "ben", {}, { person: "chi" }),
    ],
    [
      "another digest",
      "statement_mismatch",
      ({ story, asked }) =>
        void story.decided(asked, "ben", {}, { statement_digest: digestJson("statement", 1) }),
    ],
    [
      "a signature over something else",
      "signature_invalid",
      ({ story, asked }) => {
        const signature = KEYS["ben"]!.sign(Buffer.from("else"), SSHSIG_NAMESPACE);
        const proof = {
          kind: "sshsig" as const,
          signature,
          fingerprint: KEYS["ben"]!.fingerprint,
          channel: "cli" as const,
        };
        story.decided(asked, "ben", {}, { proof });
      },
    ],
    [
      "another fingerprint than the key's",
      "wrong_signer",
      ({ story, asked }) => {
        const { proof } = story.decided(asked, "ben", {}, {});
        story.log.lines[story.log.lines.length - 1] = (story.log.lines.at(-1) as string).replace(
          sshProof(proof).fingerprint,
          KEYS["chi"]!.fingerprint,
        );
      },
    ],
    [
      "a proof of an unknown kind",
      "signature_invalid",
      ({ story, asked }) => void story.decided(asked, "ben", {}, { proof: { kind: "word" } as never }),
    ],
    [
      "an assurance that a software key can't show",
      "assurance_overstated",
      ({ story, asked }) => void story.decided(asked, "ben", {}, { assurance: "A3" }),
    ],
    ["the requester (C1)", "self_approval", ({ story, asked }) => void story.decided(asked, "ana")],
    [
      "solo where the requirement does not say so (C6)",
      "self_approval",
      ({ story, asked }) => void story.decided(asked, "ben", { solo: true }),
    ],
    [
      "a log that never was",
      "witness_mismatch",
      ({ story, asked }) =>
        void story.decided(asked, "ben", { log: { size: 2, root: digestJson("plan", 1) } }),
    ],
    [
      "a log of the future",
      "witness_mismatch",
      ({ story, asked }) =>
        void story.decided(asked, "ben", { log: { size: 5_000, root: story.log.root() } }),
    ],
  ];
  for (const [name, code, make] of cases) {
    const parts = held();
    make(parts);
    expect(
      (await judge(parts.story)).map((found) => found.code),
      name,
    ).toContain(code);
  }
});

test("the same approval never counts again after it was taken back (C3)", async () => {
  const { story, asked } = held();
  const first = story.decided(asked, "ben");
  story.decided(asked, "ben", { decision: "take_back", takes_back: first.statement_digest });
  story.decided(asked, "ben", first.statement);
  expect(await judge(story)).toEqual([{ code: "statement_mismatch", rule: "C3" }]);
});

test("a decision counted after the deadline is found (C5)", async () => {
  const story = opened();
  story.received(one);
  story.planned(one, "hold");
  const asked = story.asked(one, { deadline: new Date(START).toISOString() });
  story.log.append({
    kind: "throttled",
    subject: "log",
    policy: null,
    data: { principal: "a", agent: "b", count: 1, limit: "x" },
  });
  story.log.append({
    kind: "throttled",
    subject: "log",
    policy: null,
    data: { principal: "a", agent: "b", count: 1, limit: "x" },
  });
  story.decided(asked, "ben");
  expect(await judge(story)).toEqual([{ code: "late_decision", rule: "C5" }]);
});

test("the person of solo: may decide on their own request, and the statement has to say so (C6)", async () => {
  const clauses = [{ from: ["sre"], count: 1, assurance: "A2" as const }];
  const sole = held({ solo: "ana", clauses });
  sole.story.decided(sole.asked, "ana", { solo: true });
  sole.story.settled(one, "granted", ["ana"]);
  sole.story.granted(one, sole.asked.digest);
  expect(await judge(sole.story)).toEqual([]);
  const silent = held({ solo: "ana", clauses });
  silent.story.decided(silent.asked, "ana", { solo: false });
  expect(await judge(silent.story)).toEqual([{ code: "self_approval", rule: "C6" }]);
  // A software key that signs alone was asked for its passphrase only where the command line signed.
  const remote = held({ solo: "ana", clauses });
  const signed = held({ solo: "ana", clauses }).story.decided(remote.asked, "ana", { solo: true });
  remote.story.decided(remote.asked, "ana", { solo: true }, { proof: { ...signed.proof, channel: "api" } });
  expect(await judge(remote.story)).toEqual([{ code: "self_approval", rule: "C6" }]);
});

test("A3 takes the flags of an sk- key: presence and verification (C3)", async () => {
  for (const [flags, codes] of [
    [0, ["assurance_overstated"]],
    [1, ["assurance_overstated"]],
    [4, ["assurance_overstated"]],
    [5, []],
  ] as const) {
    const soft = createSoftwareSecurityKey();
    const chi = {
      fingerprint: soft.fingerprint,
      sign: (message: Uint8Array, namespace: string) => soft.sign(message, namespace, { flags }),
    };
    const { story, asked } = held({ keys: { ...KEYS, chi } });
    story.decided(asked, "chi", {}, { assurance: "A3" });
    expect(
      (await judge(story)).map(({ code }) => code),
      `flags ${flags}`,
    ).toEqual(codes);
    const a4 = held({ keys: { ...KEYS, chi } });
    a4.story.decided(a4.asked, "chi", {}, { assurance: "A4" });
    expect((await judge(a4.story)).map(({ code }) => code)).toEqual(["assurance_overstated"]);
  }
});

test("an entry under a policy that was never adopted is found (P6)", async () => {
  const story = opened();
  story.log.append({
    kind: "throttled",
    subject: "log",
    policy: digestJson("policy", { version: 2 }),
    data: { principal: "a", agent: "b", count: 1, limit: "x" },
  });
  expect(await judge(story)).toEqual([{ code: "policy_unknown", rule: "P6" }]);
});

test("entries of a request that was not planned, or that is over, are out of order", async () => {
  const story = opened();
  story.received(one);
  const data = { by: [], outcome: "granted" as const, reason: null, solo: false };
  story.log.append({ kind: "consent.settled", subject: one, policy: story.revision, data });
  expect(await judge(story)).toEqual([{ code: "out_of_order", rule: null }]);
  const over = opened();
  over.allowedRequest(one);
  over.planned(one, "allow");
  expect(await judge(over)).toEqual([{ code: "out_of_order", rule: null }]);
});
