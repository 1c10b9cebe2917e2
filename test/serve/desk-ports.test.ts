import { afterEach, expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import type { RequestId } from "../../src/base/id.ts";
import { SETTLEMENT_NAMESPACE, settlementBytes } from "../../src/execution/settlement.ts";
import { inquiringOf, settlingOf } from "../../src/serve/desk-ports.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// What the API reaches of the desk: the same rules, in the API's own shapes.

let world: World;
afterEach(() => world.close());

const hold = async (text: string): Promise<RequestId> =>
  ticketOf(await callTool(world.home, "write_note", { book: "ledger", text })) as RequestId;

test("a session asks and the agent answers; a signature is no way to ask", async () => {
  world = await makeWorld();
  const ports = inquiringOf(world.home);
  const ticket = await hold("x");
  const session = {
    kind: "session",
    method: "oidc",
    signed_in_at: timestamp(Date.now()),
    subject: "https://idp.test ben",
    channel: "console",
  } as const;
  const asked = await ports.inquire(ticket, { person: "ben", text: "why?", proof: session });
  if (!asked.ok) throw new Error(asked.error.code);
  const signature = { kind: "sshsig", signature: "", fingerprint: "", channel: "api" } as const;
  expect(await ports.inquire(ticket, { person: "ben", text: "why?", proof: signature })).toMatchObject({
    error: { code: "needs_session" },
  });
  const { inquiry } = asked.value;
  expect(await ports.answer(ticket, CALLER, { inquiry: "inq_no", text: "so" })).toMatchObject({
    error: { code: "unknown_inquiry" },
  });
  expect(await ports.answer(ticket, CALLER, { inquiry, text: "so" })).toEqual({
    ok: true,
    value: { inquiry },
  });
  await decide(world, world.home, ticket, "ben", "deny");
  expect(await ports.answer(ticket, CALLER, { inquiry, text: "late" })).toMatchObject({
    error: { code: "denied_by_person" },
  });
});

test("a settlement that asks again names the new request", async () => {
  world = await makeWorld();
  const ticket = await hold("LOST_REPLY CANNOT_TELL");
  await decide(world, world.home, ticket, "ben");
  await world.home.gate.wait(ticket, CALLER, { signal: new AbortController().signal, holdMs: 5_000 });
  const ports = settlingOf(world.home);
  const wish = { person: "chi", outcome: "failed", again: true, message: "not there" } as const;
  const statement = await ports.draftSettlement(ticket, wish);
  const signature = world.keys["chi"]?.sign(settlementBytes(statement), SETTLEMENT_NAMESPACE) ?? "";
  const settled = await ports.settle(statement, {
    kind: "sshsig",
    signature,
    fingerprint: "",
    channel: "api",
  });
  expect(settled).toMatchObject({ ok: true, value: { outcome: "failed" } });
  const follower = settled.ok ? settled.value.again : null;
  expect((await world.home.requests.history(follower as RequestId))[0]?.data).toMatchObject({
    follows: ticket,
  });
});
