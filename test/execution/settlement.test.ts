import { writeFile } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import type { OpenedHome } from "../../src/compose.ts";
import type { Proof } from "../../src/consent/entries.ts";
import {
  SETTLEMENT_NAMESPACE,
  settlementBytes,
  type SettlementStatement,
} from "../../src/execution/settlement.ts";
import type { SettlementChoice } from "../../src/gate/home.ts";
import type { RequestId } from "../../src/base/id.ts";
import type { Entry } from "../../src/log/entry.ts";
import { buildReceipt, formatReceipt } from "../../src/log/receipt.ts";
import { verifyLog, verifyReceipt } from "../../src/log/verify.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import { timestamp } from "../../src/base/clock.ts";
import { CALLER, callTool, decide, makeWorld, policyText, ticketOf, type World } from "../support/world.ts";

// An outcome that nobody knows becomes known because a person says so. Who may say it, can it be forged, and does
// asking again run anything that nobody approved?

let world: World;
afterEach(() => world.close());

const start = async (options: Parameters<typeof makeWorld>[0] = {}): Promise<World> =>
  (world = await makeWorld(options));

/** A request whose outcome is unknown: allowed in the book "log", approved by ben in "ledger". */
async function unknown(book: "log" | "ledger", text = "LOST_REPLY CANNOT_TELL"): Promise<RequestId> {
  const reply = await callTool(
    world.home,
    "write_note",
    { book, text },
    { holdMs: book === "log" ? 5_000 : 0 },
  );
  if (book === "log") return (reply as { readonly request: RequestId }).request;
  const ticket = ticketOf(reply) as RequestId;
  await decide(world, world.home, ticket, "ben");
  const attachment = { signal: new AbortController().signal, holdMs: 5_000 };
  expect(await world.home.gate.wait(ticket, CALLER, attachment)).toMatchObject({ status: "unknown" });
  return ticket;
}

const signed = (person: string, statement: SettlementStatement): Proof => ({
  kind: "sshsig",
  signature: world.keys[person]?.sign(settlementBytes(statement), SETTLEMENT_NAMESPACE) ?? "",
  fingerprint: "",
  channel: "cli",
});
async function settle(
  request: RequestId,
  person: string,
  choice: Partial<SettlementChoice> = {},
  home: OpenedHome = world.home,
) {
  const statement = await home.draftSettlement(request, {
    outcome: "failed",
    message: "nothing is in the book",
    person,
    ...choice,
  });
  return home.settle(statement, signed(person, statement));
}
const refused = (code: string) => ({ ok: false, error: { code } });
const historyOf = (request: string) => world.home.requests.history(request as never);

async function verified(request: RequestId): Promise<readonly string[]> {
  const { store, adoption } = world.home;
  const receipt = await buildReceipt({
    store,
    requestId: request,
    withBlobs: false,
    adoptions: adoption.sequence(),
    resolvePolicy: () => adoption.current().document,
  });
  const inReceipt = verifyReceipt(formatReceipt(receipt), { trustedKeys: [receipt.log.key] });
  const inLog = await verifyLog(store.lines(0), {
    key: receipt.log.key,
    checkpoint: await store.checkpoint(),
  });
  return [...inReceipt.findings, ...inLog.findings]
    .filter(({ severity }) => severity === "fault")
    .map(({ code, message }) => `${code}: ${message}`);
}

test("who could have decided settles it under a signature, and it verifies offline", async () => {
  await start();
  const request = await unknown("ledger");
  expect(await settle(request, "chi", { outcome: "done", message: "it is in the book" })).toEqual({
    ok: true,
    value: { outcome: "done", again: null },
  });
  const resolved = (await historyOf(request)).at(-1) as Entry<"execution.resolved">;
  expect(resolved.data).toMatchObject({
    outcome: "done",
    by: "person",
    person: "chi",
    message: "it is in the book",
    signed: {
      statement: { approver: "chi", request },
      proof: { fingerprint: world.keys["chi"]?.fingerprint },
    },
  });
  expect(await verified(request)).toEqual([]);
  const again = { ...resolved.data.signed!.statement };
  expect(await world.home.settle(again, signed("chi", again))).toMatchObject(refused("already_settled"));
});

test("neither the principal nor an owner of the agent settles alone, nor somebody who was not asked (C1, C2)", async () => {
  await start();
  const request = await unknown("ledger");
  expect(await settle(request, "ana")).toMatchObject(refused("self_approval"));
  expect(await settle(request, "dee")).toMatchObject(refused("not_eligible"));
  const robot = { ...CALLER, principal: { kind: "named", id: "ben" } as const, agent: "robot" };
  const free = await callTool(
    world.home,
    "write_note",
    { book: "log", text: "LOST_REPLY CANNOT_TELL robot" },
    { holdMs: 5_000, caller: robot },
  );
  const own = (free as { readonly request: RequestId }).request;
  expect(await settle(own, "eva")).toMatchObject(refused("self_approval"));
  expect(await settle(own, "ben")).toMatchObject(refused("self_approval"));
  // What needed nobody is settled by the people of policy_change.
  expect(await settle(own, "dee", { outcome: "done" })).toMatchObject({ ok: true });
  expect(await verified(own)).toEqual([]);
});

test("a settlement is bound to its request, its grant, its words and its signer", async () => {
  await start();
  const request = await unknown("ledger");
  const draft = await world.home.draftSettlement(request, {
    outcome: "failed",
    person: "ben",
    message: "no",
  });
  const proof = signed("ben", draft);
  const change = (changes: Partial<SettlementStatement>) =>
    world.home.settle({ ...draft, ...changes }, proof);
  await expect(change({ outcome: "done" })).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  await expect(change({ again: true })).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  await expect(change({ approver: "chi" })).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  expect(await change({ grant: "grt_01JD7Z0000000000000000000A" })).toMatchObject(refused("digest_mismatch"));
  expect(await change({ log: "log_01JD7Z0000000000000000000A" })).toMatchObject(refused("digest_mismatch"));
  // chi's key under ben's name.
  expect(await world.home.settle(draft, signed("chi", draft))).toMatchObject(refused("wrong_person"));
  const late = { ...draft, issued_at: timestamp(Date.now() + 600_000) };
  expect(await world.home.settle(late, signed("ben", late))).toMatchObject(refused("clock_skew"));
  await expect(settle(request, "ben", { outcome: "done", again: true })).rejects.toMatchObject({
    code: "DECISION_REFUSED",
  });
  const session = {
    kind: "session",
    method: "oidc",
    signed_in_at: timestamp(Date.now() - 6 * 60_000),
    subject: `https://idp.test ${draft.approver}`,
    channel: "console",
  } as const;
  expect(await world.home.settle(draft, session)).toMatchObject(refused("assurance_too_low"));
  expect(
    await world.home.settle(draft, { ...session, signed_in_at: timestamp(Date.now() - 1_000) }),
  ).toMatchObject({
    ok: true,
  });
});

test("words that hold a secret are masked before they are signed (L3)", async () => {
  await start();
  const request = await unknown("ledger");
  const secret = `AKIA${"ABCDEFGH".repeat(2)}`;
  expect(await settle(request, "ben", { message: `seen with ${secret}` })).toMatchObject({ ok: true });
  expect(JSON.stringify(await historyOf(request))).not.toContain(secret);
});

test("asked for again, it is a new request with the same arguments that goes the whole way (C1, X2)", async () => {
  await start();
  const request = await unknown("ledger");
  const runs = world.notes.runs.length;
  const settled = await settle(request, "ben", { again: true });
  if (!settled.ok || settled.value.again?.status !== "pending") throw new Error(JSON.stringify(settled));
  const { ticket } = settled.value.again;
  const [received] = (await historyOf(ticket)) as [Entry<"request.received">];
  const [before] = (await historyOf(request)) as [Entry<"request.received">];
  expect(received.data).toMatchObject({
    follows: request,
    tool: "write_note",
    requester: { chain: ["ben"] },
  });
  expect(received.data.requester.principal).toEqual(before.data.requester.principal);
  const bytes = async ({ data, subject }: Entry<"request.received">) =>
    Buffer.from(
      await world.home.store.blobs.get("arguments", data.arguments, subject as RequestId),
    ).toString();
  expect(await bytes(received)).toBe(await bytes(before));
  expect(world.notes.runs).toHaveLength(runs);
  // Who wanted it is part of who asks, and can't be who approves.
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject(refused("self_approval"));
  expect(await decide(world, world.home, ticket, "chi")).toMatchObject({
    ok: true,
    value: { state: "granted" },
  });
  expect(await verified(request)).toEqual([]);
  // The agent that sends its call again finds the request that is there.
  expect(world.home.fold.state.executions.again.size).toBe(0);
});

test("what the policy denies by now is denied again; nothing ran", async () => {
  await start();
  const request = await unknown("ledger", "LOST_REPLY CANNOT_TELL");
  const runs = world.notes.runs.length;
  const text = policyText(world.keys, {
    head: "adopt: on_save",
    rules: "rules:\n  - { id: closed, match: { tool: write_note }, verdict: deny }\n",
  });
  await writeFile(world.settings.policyFile, text);
  const statements = await Promise.all(
    ["ben", "dee"].map(async (person) => {
      const statement = await world.home.adoption.draft(person);
      const signature = world.keys[person]?.sign(adoptionBytes(statement), ADOPTION_NAMESPACE) ?? "";
      return { statement, proof: { kind: "sshsig", signature, fingerprint: "", channel: "cli" } as const };
    }),
  );
  await world.home.adoption.adopt(statements);
  expect(await settle(request, "ben", { again: true })).toMatchObject({
    ok: true,
    value: { again: { status: "refused", code: "denied_by_policy" } },
  });
  expect(world.notes.runs).toHaveLength(runs);
});

test("a process that dies after the settlement leaves the wish to the steward, which brings it about once", async () => {
  await start();
  const request = await unknown("ledger");
  const steward = await world.open();
  await steward.startSteward();
  // Another process than the steward's settles: it leaves the asking to the steward.
  expect(await settle(request, "ben", { again: true })).toEqual({
    ok: true,
    value: { outcome: "failed", again: null },
  });
  expect(world.home.fold.state.executions.again.has(request)).toBe(true);
  for (let i = 0; i < 3; i += 1) await steward.stewardRound();
  await world.home.store.catchUp();
  const followers = world.home.desk
    .pending()
    .filter(({ question }) => question.requester.chain.includes("ben"));
  expect(followers).toHaveLength(1);
  expect(world.home.fold.state.executions.again.size).toBe(0);
});

test("alone, the person of solo settles their own, from the terminal (C6)", async () => {
  await start({ head: "solo: ana\npolicy_change: { by: [sre], quorum: 1, assurance: A2 }" });
  const reply = await callTool(world.home, "write_note", { book: "ledger", text: "LOST_REPLY CANNOT_TELL" });
  const ticket = ticketOf(reply) as RequestId;
  await decide(world, world.home, ticket, "ana");
  const attachment = { signal: new AbortController().signal, holdMs: 5_000 };
  await world.home.gate.wait(ticket, CALLER, attachment);
  const draft = await world.home.draftSettlement(ticket, { outcome: "failed", person: "ana", message: "no" });
  const proof = signed("ana", draft);
  expect(await world.home.settle(draft, { ...proof, channel: "api" } as Proof)).toMatchObject(
    refused("assurance_too_low"),
  );
  expect(await world.home.settle(draft, proof)).toMatchObject({ ok: true });
  expect(await verified(ticket)).toEqual([]);
});

test("a settlement that was forged in the log is found", async () => {
  await start();
  const request = await unknown("ledger");
  const statement = await world.home.draftSettlement(request, {
    outcome: "done",
    person: "ben",
    message: "yes",
  });
  const record = world.home.fold.state.requests.open.get(request);
  // What a broken gateway would write: ana's word under ben's name.
  await world.home.store.append({
    expect: [{ subject: request, newest: record?.newestSeq ?? null }],
    newKeys: [],
    entries: [
      {
        kind: "execution.resolved",
        subject: request,
        policy: world.home.adoption.current().revision,
        data: {
          grant: statement.grant,
          outcome: "done",
          by: "person",
          person: "ben",
          message: "yes, surely",
          signed: { statement, proof: signed("ana", statement) },
        },
      },
    ],
  });
  expect((await verified(request)).map((finding) => finding.split(":")[0])).toEqual([
    "statement_mismatch",
    // Another key than the entry names, and not ben's.
    "wrong_signer",
    "wrong_signer",
    "statement_mismatch",
    "wrong_signer",
  ]);
});
