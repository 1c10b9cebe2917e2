import { afterEach, describe, expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import { statementBytes } from "../../src/consent/statement.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { decideWith, enrol, ORIGIN, signWithKey } from "../support/passkey-world.ts";
import { createSoftPasskey } from "../support/soft-passkey.ts";
import { callTool, decide, makeWorld, ticketOf, type World, type WorldOptions } from "../support/world.ts";

// What a passkey proves about a decision, and what it does not.

let world: World;
afterEach(() => world.close());
const HOUR = 3_600_000;

const HEAD = "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }";
const rules = (assurance: string, quorum = 1): string => `rules:
  - id: prod-notes
    match: { tool: write_note }
    verdict: hold
    approve: { by: [sre, security], quorum: ${quorum}, assurance: ${assurance}, within: 2d }
`;

async function start(options: WorldOptions = {}) {
  const clock = createFakeClock();
  world = await makeWorld({
    clock,
    head: HEAD,
    rules: rules("A3"),
    passkeys: { coolingMs: HOUR },
    ...options,
  });
  world.home.credentials.serveAt(ORIGIN);
  const { home } = world;
  let asked = 0;
  const ask = async (): Promise<string> =>
    ticketOf(await callTool(home, "write_note", { book: "ledger", text: `${(asked += 1)}` }));
  return { clock, home, ask };
}

const invalid = (message: RegExp) => ({
  code: "SIGNATURE_INVALID",
  message: expect.stringMatching(message) as string,
});

describe("a decision by passkey", () => {
  test("over exactly this statement, with verification, shows A3 and grants (C3)", async () => {
    const { home, ask } = await start();
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    expect(await decideWith(home, ben, request, "ben")).toMatchObject({
      ok: true,
      value: { state: "granted" },
    });
    const recorded = (await home.requests.history(request as never)).find(
      (e) => e.kind === "decision.recorded",
    );
    expect(recorded).toMatchObject({
      data: { assurance: "A3", counted: true, proof: { kind: "webauthn", credential: ben.id } },
    });
  });

  test("during the cooling period shows A2: recorded where A3 is needed, counted where A2 is (C3)", async () => {
    const { clock, home, ask } = await start();
    await enrol(world, home, "dee", ["dee"]);
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    expect(await decideWith(home, ben, request, "ben")).toMatchObject({
      ok: true,
      value: { state: "not_counted", code: "assurance_too_low" },
    });
    clock.advance(HOUR);
    expect(await decideWith(home, ben, request, "ben")).toMatchObject({ value: { state: "granted" } });
  });

  test("of another statement than the one handed in is refused: decision, question, approver or words", async () => {
    const { home, ask } = await start();
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    for (const tampered of [
      { decision: "approve" },
      { approver: "chi" },
      { reason: "fine" },
      { solo: true },
    ] as const) {
      const trying = decideWith(home, ben, request, "ben", { decision: "deny", tampered });
      await expect(trying).rejects.toMatchObject(invalid(/another challenge/));
    }
  });

  test("by another person than the statement names is refused (wrong_person)", async () => {
    const { home, ask } = await start();
    const ben = await enrol(world, home, "ben", ["dee"]);
    expect(await decideWith(home, ben, await ask(), "chi")).toMatchObject({
      ok: false,
      error: { code: "wrong_person" },
    });
  });

  test("without verification or presence, from another page, or for another relying party is refused", async () => {
    const { home, ask } = await start();
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    const trying = (wishes: Parameters<typeof ben.answer>[1]) =>
      decideWith(home, ben, request, "ben", wishes === undefined ? {} : { wishes });
    await expect(trying({ flags: 0x01 })).rejects.toMatchObject(invalid(/did not verify who used it/));
    await expect(trying({ flags: 0x04 })).rejects.toMatchObject(invalid(/did not verify who used it/));
    await expect(trying({ origin: "http://localhost:9999" })).rejects.toMatchObject(
      invalid(/localhost:9999 asked/),
    );
    await expect(trying({ rpId: "example.com" })).rejects.toMatchObject(invalid(/another relying party/));
    await expect(trying({ crossOrigin: true })).rejects.toMatchObject(invalid(/framed/));
    expect(await trying({})).toMatchObject({ value: { state: "granted" } });
  });

  test("whose counter stands still is refused; one already on record reads as a duplicate", async () => {
    const { home, ask } = await start({ rules: rules("A3", 2), userVerified: ["dee"] });
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    const statement = await home.desk.draft(request as never, {
      decision: "approve",
      person: "ben",
      reason: null,
      log: null,
    });
    const proof = ben.prove(statementBytes(statement), { counter: 7 });
    expect(await home.desk.decide(statement, proof)).toMatchObject({ value: { state: "recorded" } });
    expect(await home.desk.decide(statement, proof)).toMatchObject({
      ok: false,
      error: { code: "duplicate" },
    });
    const copied = decideWith(home, ben, await ask(), "ben", { wishes: { counter: 7 } });
    await expect(copied).rejects.toMatchObject(invalid(/counter went back/));
  });

  test("of an unknown or removed passkey is refused, and says which it is", async () => {
    const { home, ask } = await start();
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    await expect(decideWith(home, createSoftPasskey(), request, "ben")).rejects.toMatchObject(
      invalid(/no such passkey/),
    );
    await remove(home, "ben", ben.id);
    await expect(decideWith(home, ben, request, "ben")).rejects.toMatchObject(invalid(/was removed/));
  });

  test("takes away what the passkey approved once it is removed, until the grant", async () => {
    const { clock, home, ask } = await start({ rules: rules("A2", 2) });
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    expect(await decideWith(home, ben, request, "ben")).toMatchObject({ value: { state: "recorded" } });
    await remove(home, "ben", ben.id);
    expect(home.desk.find(request).quorum.clauses).toMatchObject([{ by: [], missing: 2 }]);
    expect(await decide(world, home, request, "dee")).toMatchObject({ value: { state: "recorded" } });
    // With the own key he is one of two again.
    clock.advance(1);
    expect(await decide(world, home, request, "ben")).toMatchObject({ value: { state: "granted" } });
  });

  test("counts once for a person with two passkeys and a key", async () => {
    const { home, ask } = await start({ rules: rules("A2", 2) });
    const first = await enrol(world, home, "ben", ["dee"]);
    const second = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    expect(await decideWith(home, first, request, "ben")).toMatchObject({ value: { state: "recorded" } });
    expect(await decideWith(home, second, request, "ben")).toMatchObject({ error: { code: "duplicate" } });
    expect(await decide(world, home, request, "ben")).toMatchObject({ error: { code: "duplicate" } });
  });
});

describe("a question that nobody could answer with the proof it asks for", () => {
  test("is denied at once, and put as soon as somebody has a passkey that counts in time (C7)", async () => {
    const { home, ask } = await start();
    const call = () => callTool(home, "write_note", { book: "ledger", text: "y" });
    expect(await call()).toMatchObject({ status: "refused", code: "no_eligible_approver" });
    await enrol(world, home, "ana", ["dee"]);
    // ana owns the agent that asks (C1).
    expect(await call()).toMatchObject({ status: "refused", code: "no_eligible_approver" });
    await enrol(world, home, "ben", ["dee"]);
    expect(await ask()).toMatch(/^req_/);
  });
});

describe("a session", () => {
  test("shows A2 for five minutes, then A1, and nothing once its passkey is gone", async () => {
    const { clock, home, ask } = await start({ rules: rules("A2") });
    const ben = await enrol(world, home, "ben", ["dee"]);
    const session = {
      kind: "session",
      method: "passkey",
      signed_in_at: timestamp(clock.now()),
      subject: ben.id,
      channel: "console",
    } as const;
    const hand = async (decision: "approve" | "deny") => {
      const statement = await home.desk.draft((await ask()) as never, {
        decision,
        person: "ben",
        reason: null,
        log: null,
      });
      return home.desk.decide(statement, session);
    };
    expect(await hand("approve")).toMatchObject({ value: { state: "granted" } });
    clock.advance(5 * 60_000 + 1);
    expect(await hand("approve")).toMatchObject({
      value: { state: "not_counted", code: "assurance_too_low" },
    });
    expect(await hand("deny")).toMatchObject({ value: { state: "denied" } });
    await remove(home, "ben", ben.id);
    expect(await hand("deny")).toMatchObject({ error: { code: "unknown_signer" } });
  });
});

async function remove(home: World["home"], person: string, credential: string): Promise<void> {
  const statement = await home.credentials.draft({ action: "remove", person, approver: person, credential });
  await home.credentials.remove(signWithKey(world, statement), "lost");
}
