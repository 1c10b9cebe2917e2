import { expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import type { ConsentEntries } from "../../src/consent/entries.ts";
import { buildReceipt, formatReceipt } from "../../src/log/receipt.ts";
import { verifyLog, verifyReceipt } from "../../src/log/verify.ts";
import type { Requirement } from "../../src/policy/verdict.ts";
import { createStory, KEYS, policyDocument, requestId, START, type Story } from "../support/log-story.ts";

// Can a log let somebody decide who was not asked at that moment, because a step came too early or never, or because it
// was somebody else's turn? Every log here has the right root and the right signature.

const one = requestId(1);
const MINUTE = 60_000;
const time = (ms: number): string => new Date(START + ms).toISOString();
const groups = { sre: ["ana", "ben"], security: ["chi"] };
const ESCALATES: Requirement["clauses"] = [
  { from: ["sre"], count: 1, assurance: "A2", escalate: [{ afterMs: 10 * MINUTE, to: ["security"] }] },
];

/** As a receipt shows it: only a receipt carries the people, so only there is it known who was asked. */
async function judge({ log }: Story): Promise<readonly string[]> {
  const resolvePolicy = (text: Uint8Array): JsonObject =>
    JSON.parse(Buffer.from(text).toString()) as JsonObject;
  const receipt = await buildReceipt({ store: log.store, requestId: one, withBlobs: false, resolvePolicy });
  const { findings } = verifyReceipt(formatReceipt(receipt), { trustedKeys: [log.signer.vkey] });
  return findings.map(({ code, rule }) => `${code} ${rule ?? ""}`.trim());
}

/** As the whole log shows it, without the people. */
async function judgeLog({ log }: Story): Promise<readonly string[]> {
  const report = await verifyLog(log.store.lines(0), { key: log.signer.vkey, checkpoint: log.checkpoint() });
  return report.findings.map(({ code, rule }) => `${code} ${rule ?? ""}`.trim());
}

/** Asked `waitedMs` before the log begins. */
function held(waitedMs: number, options: Parameters<typeof createStory>[0] = {}) {
  const story = createStory({ clauses: ESCALATES, document: policyDocument(KEYS, { groups }), ...options });
  story.open();
  story.received(one);
  story.planned(one, "hold");
  const asked = story.asked(one, { asked_at: time(-waitedMs), deadline: time(30 * MINUTE - waitedMs) });
  const append = <K extends "consent.escalated" | "consent.reminded" | "inquiry.made" | "inquiry.answered">(
    kind: K,
    data: ConsentEntries[K],
  ): void => void story.log.append({ kind, subject: one, policy: story.revision, data } as never);
  const escalated = (change: Partial<ConsentEntries["consent.escalated"]> = {}): void =>
    append("consent.escalated", {
      question: asked.digest,
      steps: [{ clause: 0, step: 0 }],
      to: ["security"],
      ...change,
    });
  return { story, asked, append, escalated };
}

function granted({ story, asked }: ReturnType<typeof held>, by: string): Story {
  story.decided(asked, by, {}, { clauses: [0] });
  story.settled(one, "granted", [by]);
  story.granted(one, asked.digest);
  return story;
}

test("a step that came in its time lets its people decide", async () => {
  const waiting = held(11 * MINUTE);
  waiting.escalated();
  const story = granted(waiting, "chi");
  expect(await judge(story)).toEqual([]);
  expect(await judgeLog(story)).toEqual([]);
});

test("people of a step that has not come were not asked, and meet nothing (C2)", async () => {
  expect(await judge(granted(held(11 * MINUTE), "chi"))).toEqual([
    "not_eligible C2",
    "grant_without_basis G2",
  ]);
  const after = held(11 * MINUTE);
  after.story.decided(after.asked, "chi", {}, { clauses: [0] });
  after.escalated();
  after.story.settled(one, "granted", ["chi"]);
  after.story.granted(one, after.asked.digest);
  expect(await judge(after.story)).toEqual(["not_eligible C2", "grant_without_basis G2"]);
});

test("a step that had not come due, does not exist, came twice or names others is no step (C5)", async () => {
  const early = held(9 * MINUTE);
  early.escalated();
  expect(await judge(granted(early, "chi"))).toEqual([
    "escalation_invalid C5",
    "not_eligible C2",
    "grant_without_basis G2",
  ]);
  const wrong = async (change: Partial<ConsentEntries["consent.escalated"]>): Promise<readonly string[]> => {
    const waiting = held(11 * MINUTE);
    waiting.escalated(change);
    return judge(waiting.story);
  };
  expect(await wrong({ steps: [{ clause: 0, step: 1 }], to: [] })).toEqual(["escalation_invalid C5"]);
  expect(await wrong({ steps: [{ clause: 1, step: 0 }], to: [] })).toEqual(["escalation_invalid C5"]);
  expect(await wrong({ to: ["everybody"] })).toEqual(["escalation_invalid C5"]);
  expect(await wrong({ question: "sha256:".padEnd(71, "0") as never })).toEqual(["escalation_invalid C5"]);
  const twice = held(11 * MINUTE);
  twice.escalated();
  twice.escalated();
  expect(await judge(twice.story)).toEqual(["escalation_invalid C5"]);
  const late = held(31 * MINUTE);
  late.escalated();
  expect(await judge(late.story)).toEqual(["escalation_invalid C5"]);
});

test("an escalation or a reminder after the settlement stands in the wrong place", async () => {
  const waiting = held(11 * MINUTE);
  const story = granted(waiting, "ben");
  waiting.escalated();
  waiting.append("consent.reminded", { question: waiting.asked.digest, people: ["ben"] });
  expect(await judge(story)).toEqual(["out_of_order", "out_of_order"]);
});

test("a decision can't claim a clause that its person could not serve (C2)", async () => {
  const waiting = held(11 * MINUTE);
  waiting.story.decided(waiting.asked, "ben", {}, { clauses: [0, 1] });
  expect(await judge(waiting.story)).toEqual(["not_eligible C2"]);
  const none = held(11 * MINUTE);
  none.story.decided(none.asked, "ben", {}, { clauses: [] });
  none.story.settled(one, "granted", ["ben"]);
  none.story.granted(one, none.asked.digest);
  expect(await judgeLog(none.story)).toEqual(["not_eligible C2", "grant_without_basis G2"]);
});

const onCall = (starts: number) => ({
  clauses: [{ from: ["duty"], count: 1, assurance: "A2" }] satisfies Requirement["clauses"],
  document: policyDocument(KEYS, {
    groups: { ...groups, duty: ["ben", "chi"] },
    on_call: { duty: { people: ["ben", "chi"], every_ms: 60 * MINUTE, starts: time(starts) } },
  }),
});

test("of a group on call only whose turn it is was asked; the turn may pass before the grant (C2)", async () => {
  expect(await judge(granted(held(MINUTE, onCall(-10 * MINUTE)), "ben"))).toEqual([]);
  expect(await judge(granted(held(MINUTE, onCall(-10 * MINUTE)), "chi"))).toEqual([
    "not_eligible C2",
    "grant_without_basis G2",
  ]);
  expect(await judge(granted(held(MINUTE, onCall(-70 * MINUTE)), "chi"))).toEqual([]);
  // The turn ends while the entries are written.
  expect(await judge(granted(held(MINUTE, onCall(-60 * MINUTE + 6_500)), "ben"))).toEqual([]);
});

test("an answer belongs to a question that was asked, once, and changes nothing else", async () => {
  const proof = { kind: "account", account: "1@host", channel: "cli" } as const;
  const made = (question: string) =>
    ({ question, inquiry: "inq_1", person: "ben", text: "why?", proof }) as never;
  const waiting = held(MINUTE);
  waiting.append("inquiry.made", made(waiting.asked.digest));
  waiting.append("inquiry.answered", { inquiry: "inq_1", text: "because", agent: "claude-desktop" });
  expect(await judge(granted(waiting, "ben"))).toEqual([]);
  const wrong = held(MINUTE);
  wrong.append("inquiry.answered", { inquiry: "inq_1", text: "because", agent: "claude-desktop" });
  wrong.append("inquiry.made", made("sha256:".padEnd(71, "0")));
  wrong.append("inquiry.made", made(wrong.asked.digest));
  wrong.append("inquiry.made", made(wrong.asked.digest));
  expect(await judge(wrong.story)).toEqual(["out_of_order", "out_of_order", "out_of_order"]);
});

test("a deny is fixable in the statement and in the settlement, or in neither", async () => {
  const denied = async (statement: object, settled: object): Promise<readonly string[]> => {
    const { story, asked } = held(MINUTE);
    story.decided(asked, "ben", { decision: "deny", ...statement }, { clauses: [0] });
    const data = { outcome: "denied", by: ["ben"], reason: null, solo: false, ...settled } as const;
    story.log.append({ kind: "consent.settled", subject: one, policy: story.revision, data });
    return judge(story);
  };
  expect(await denied({ fixable: true }, { fixable: true })).toEqual([]);
  expect(await denied({}, {})).toEqual([]);
  expect(await denied({}, { fixable: true })).toEqual(["statement_mismatch"]);
  expect(await denied({ fixable: true }, {})).toEqual(["statement_mismatch"]);
});
