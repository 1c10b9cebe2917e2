import { afterEach, expect, test } from "vitest";
import type { NewInquiry } from "../../src/consent/desk.ts";
import { MAX_INQUIRY_CHARS, MOST_INQUIRIES } from "../../src/consent/inquire.ts";
import { MAX_ANSWER_BYTES } from "../../src/gate/answer.ts";
import type { Reply } from "../../src/gate/reply.ts";
import { timestamp } from "../../src/base/clock.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// A person asks the agent something before deciding. Can that move the request, leak what was previewed, let another
// agent in, or make the answer look like more than a claim?

let world: World;
const start = async (options: Parameters<typeof makeWorld>[0] = {}): Promise<World> =>
  (world = await makeWorld(options));
afterEach(() => world.close());

const noWait = { signal: new AbortController().signal, holdMs: 0 };
const hold = async (text = "x"): Promise<string> =>
  ticketOf(await callTool(world.home, "write_note", { book: "ledger", text }));
const account = { kind: "account", account: "ben@test", channel: "cli" } as const;
const ask = (ticket: string, text = "why now?", person = "ben", proof: NewInquiry["proof"] = account) =>
  world.home.desk.inquire(ticket as never, { person, text, proof });
async function asked(ticket: string, text?: string): Promise<string> {
  const inquiry = await ask(ticket, text);
  if (!inquiry.ok) throw new Error(inquiry.error.code);
  return inquiry.value.inquiry;
}
const inquiriesOf = (reply: Reply) => (reply.status === "pending" ? reply.inquiries : "not pending");
const wait = (ticket: string): Promise<Reply> => world.home.gate.wait(ticket, CALLER, noWait);
const answer = (ticket: string, inquiry: string, text: string, caller = CALLER): Promise<Reply> =>
  world.home.gate.answer(ticket, caller, { inquiry, text });

test("the agent is told the question, answers it, and people see the answer as what it is", async () => {
  await start();
  const ticket = await hold();
  const digest = world.home.desk.find(ticket).digest;
  const inquiry = await asked(ticket);
  expect(inquiriesOf(await wait(ticket))).toEqual([{ id: inquiry, text: "why now?" }]);
  expect(inquiriesOf(await answer(ticket, inquiry, "the release is due"))).toEqual([]);
  const open = await world.home.desk.open(ticket as never);
  expect(open.inquiries).toMatchObject([
    { person: "ben", text: "why now?", answer: { text: "the release is due", agent: "claude" } },
  ]);
  // What people sign is what it was, and the claim is nowhere in it (D1, P2).
  expect(open.digest).toBe(digest);
  expect(JSON.stringify([open.question, open.view, open.requirement])).not.toContain("release is due");
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject({
    ok: true,
    value: { state: "granted" },
  });
});

test("a held call comes back with the question at once, and waits again without spinning", async () => {
  await start();
  const ticket = await hold();
  const told: string[] = [];
  const held = world.home.gate.wait(ticket, CALLER, {
    ...noWait,
    holdMs: 60_000,
    progress: (message) => void told.push(message),
  });
  const inquiry = await asked(ticket);
  expect(inquiriesOf(await held)).toEqual([{ id: inquiry, text: "why now?" }]);
  expect(told.at(-1)).toBe("a person asks about the request; the answer is wanted before they decide");
  // The agent knows now: its next wait is a wait.
  const began = performance.now();
  await world.home.gate.wait(ticket, CALLER, { ...noWait, holdMs: 150 });
  expect(performance.now() - began).toBeGreaterThan(140);
});

test("an answer is of the request's own agent, to a question that was asked, once (P1)", async () => {
  await start();
  const ticket = await hold();
  const inquiry = await asked(ticket);
  const other = { ...CALLER, principal: { kind: "named", id: "eva" } as const, agent: "robot" };
  expect(await answer(ticket, inquiry, "let me in", other)).toMatchObject({ code: "unknown_ticket" });
  expect(await answer(ticket, "inq_nothing", "x")).toMatchObject({ code: "unknown_inquiry" });
  expect(await answer(ticket, inquiry, "   ")).toMatchObject({ code: "invalid_arguments" });
  expect(await answer(ticket, inquiry, "é".repeat(MAX_ANSWER_BYTES / 2 + 1))).toMatchObject({
    code: "call_too_large",
  });
  expect(await answer(ticket, inquiry, "é".repeat(MAX_ANSWER_BYTES / 2))).toMatchObject({
    status: "pending",
  });
  expect(await answer(ticket, inquiry, "é".repeat(MAX_ANSWER_BYTES / 2))).toMatchObject({
    status: "pending",
  });
  expect(await answer(ticket, inquiry, "something else")).toMatchObject({ code: "unknown_inquiry" });
  await decide(world, world.home, ticket, "ben", "deny");
  expect(await answer(ticket, inquiry, "too late")).toMatchObject({ code: "denied_by_person" });
});

test("answers count for the limit on calls, and secrets in either direction are masked (L3)", async () => {
  await start({ limits: { heldPerMinute: 3 } });
  const ticket = await hold();
  const secret = `AKIA${"ABCDEFGH".repeat(2)}`;
  const first = await asked(ticket, `is ${secret} yours?`);
  const others = [await asked(ticket, "two?"), await asked(ticket, "three?")];
  expect(await answer(ticket, first, `it is ${secret}`)).toMatchObject({ status: "pending" });
  expect(await answer(ticket, others[0] ?? "", "x")).toMatchObject({ status: "pending" });
  expect(await answer(ticket, others[1] ?? "", "x")).toMatchObject({ code: "rate_limited" });
  const history = JSON.stringify(await world.home.requests.history(ticket as never));
  expect(history).not.toContain(secret);
  expect(history).toContain("it is ");
});

test("who may decide may ask, a few times, until the request is settled or its time is over", async () => {
  const clock = createFakeClock();
  await start({ clock });
  const ticket = await hold();
  const refused = (code: string) => ({ ok: false, error: { code } });
  expect(await ask(ticket, "mine?", "ana")).toMatchObject(refused("self_approval"));
  expect(await ask(ticket, "mine?", "dee")).toMatchObject(refused("not_eligible"));
  expect(await ask(ticket, "mine?", "nobody")).toMatchObject(refused("unknown_signer"));
  for (let n = 0; n < MOST_INQUIRIES; n += 1) await asked(ticket, `number ${n}?`);
  expect(await ask(ticket, "one more?")).toMatchObject(refused("too_many_inquiries"));
  expect(await ask(ticket, "and I?", "chi")).toMatchObject({ ok: true });
  await expect(ask(ticket, " ", "chi")).rejects.toMatchObject({ code: "DECISION_REFUSED" });
  await expect(ask(ticket, "x".repeat(MAX_INQUIRY_CHARS + 1), "chi")).rejects.toMatchObject({
    code: "DECISION_REFUSED",
  });
  clock.advance(31 * 60_000);
  expect(await ask(ticket, "still there?", "chi")).toMatchObject(refused("expired"));
});

test("a session's word is enough to ask, a disabled person's is not", async () => {
  await start();
  const ticket = await hold();
  const session = {
    kind: "session",
    method: "oidc",
    signed_in_at: timestamp(Date.now() - 3_600_000),
    subject: "https://idp.test ben",
    channel: "console",
  } as const;
  expect(await ask(ticket, "from the console?", "ben", session)).toMatchObject({ ok: true });
  expect(await ask(ticket, "from nobody?", "zed", session)).toMatchObject({
    error: { code: "unknown_signer" },
  });
});

test("an agent that is asked learns nothing of the preview (P4)", async () => {
  await start();
  const ticket = await hold("classified text of the note");
  await asked(ticket);
  expect(JSON.stringify(await wait(ticket))).not.toContain("classified");
});
