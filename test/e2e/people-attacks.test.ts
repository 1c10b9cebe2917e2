import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { codeOf, enrol, invite } from "../support/passkey-world.ts";
import { openPeopleHost, type PeopleHost } from "../support/people-host.ts";
import type { SoftPasskey } from "../support/soft-passkey.ts";
import { createFakeClock, type FakeClock } from "../support/fake-clock.ts";
import { makeWorld, type World } from "../support/world.ts";

// What somebody tries who reaches the people's listener: other people's sessions, guessed codes, old answers.

let world: World;
let host: PeopleHost;
let clock: FakeClock;
let ben: SoftPasskey;

beforeEach(async () => {
  clock = createFakeClock();
  world = await makeWorld({
    clock,
    head: "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }",
  });
  host = await openPeopleHost({ home: world.home, clock });
  ben = await enrol(world, world.home, "ben", ["dee"]);
});
afterEach(async () => {
  await host.close();
  await world.close();
});

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly cookie: string | null;
}
async function call(
  method: string,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await fetch(`${host.origin}/api/v1${path}`, {
    method,
    headers: { origin: host.origin, "content-type": "application/json", ...headers },
    ...(method === "GET" ? {} : { body: JSON.stringify(body) }),
  });
  return {
    status: response.status,
    body: (await response.json().catch(() => ({}))) as Record<string, unknown>,
    cookie: response.headers.getSetCookie()[0]?.split(";")[0] ?? null,
  };
}
async function answerOf(passkey: SoftPasskey, wishes: Parameters<SoftPasskey["answer"]>[1] = {}) {
  const { body } = await call("POST", "/session/passkey/options", {});
  const challenge = Buffer.from(body["challenge"] as string, "base64url");
  const { authenticatorData, clientData, signature } = passkey.answer(challenge, {
    origin: host.origin,
    ...wishes,
  });
  return { id: passkey.id, response: { authenticatorData, clientDataJSON: clientData, signature } };
}
const BLIND = { authenticatorData: "AA", clientDataJSON: "AA", signature: "AA" };
const signIn = async (headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  call("POST", "/session/passkey", await answerOf(ben), headers);
const csrfOf = ({ body }: Answer): string => (body["session"] as { csrf: string }).csrf;

describe("signing in", () => {
  test("makes a new session each time and ends the one that the browser had: none can be fixed beforehand (S2)", async () => {
    const first = await signIn();
    expect(first.status).toBe(200);
    const planted = { cookie: first.cookie ?? "", "x-csrf-token": csrfOf(first) };
    const second = await signIn(planted);
    expect(second.cookie).not.toBe(first.cookie);
    expect((await call("GET", "/session", null, { cookie: first.cookie ?? "" })).body["session"]).toBeNull();
    expect(
      (await call("GET", "/session", null, { cookie: second.cookie ?? "" })).body["session"],
    ).toMatchObject({
      person: "ben",
    });
  });

  test("takes an answer once, and none to a challenge that is old or not ours", async () => {
    const answer = await answerOf(ben);
    expect((await call("POST", "/session/passkey", answer)).status).toBe(200);
    expect((await call("POST", "/session/passkey", answer)).body["code"]).toBe("sign_in_refused");
    const late = await answerOf(ben);
    clock.advance(5 * 60_000);
    expect((await call("POST", "/session/passkey", late)).body["code"]).toBe("sign_in_refused");
    const { authenticatorData, clientData, signature } = ben.answer(Buffer.alloc(32), {
      origin: host.origin,
    });
    const own = { id: ben.id, response: { authenticatorData, clientDataJSON: clientData, signature } };
    expect((await call("POST", "/session/passkey", own)).body["code"]).toBe("sign_in_refused");
  });

  test("is refused without verification, from another origin, or with a counter that went back", async () => {
    for (const wishes of [{ flags: 0x01 }, { origin: "http://localhost:1" }, { rpId: "example.com" }]) {
      const answer = await call("POST", "/session/passkey", await answerOf(ben, wishes));
      expect([answer.status, answer.cookie]).toEqual([403, null]);
    }
    expect((await call("POST", "/session/passkey", await answerOf(ben, { counter: 9 }))).status).toBe(200);
    const copied = await call("POST", "/session/passkey", await answerOf(ben, { counter: 9 }));
    expect([copied.status, copied.body["detail"]]).toEqual([
      403,
      expect.stringContaining("counter went back"),
    ]);
  });

  test("answers failures beyond ten as such, and locks nobody out by the tries of another", async () => {
    for (let i = 0; i < 10; i += 1)
      await call("POST", "/session/passkey", await answerOf(ben, { flags: 0x01 }));
    const more = await call("POST", "/session/passkey", await answerOf(ben, { flags: 0x01 }));
    expect([more.status, more.body["code"], more.body["hint"]]).toEqual([
      429,
      "too_many_tries",
      "wait 15m, then try again",
    ]);
    // From the same address, as everybody behind a proxy comes, and about the same passkey.
    expect((await signIn()).status).toBe(200);
  });

  test("is not stopped, and neither is removing a passkey, by thirty calls that anybody can make", async () => {
    const own = await signIn();
    for (let i = 0; i < 31; i += 1) await call("POST", "/session/passkey", { id: "x", response: BLIND });
    expect((await call("POST", "/session/passkey", { id: "x", response: BLIND })).status).toBe(429);
    expect((await signIn()).status).toBe(200);
    const statement = await world.home.credentials.draft({
      action: "remove",
      person: "ben",
      approver: "ben",
      credential: ben.id,
    });
    const removed = await call(
      "POST",
      `/credentials/${ben.id}/removal`,
      { statement, proof: { kind: "session" } },
      { cookie: own.cookie ?? "", "x-csrf-token": csrfOf(own) },
    );
    expect([removed.status, removed.body["state"]]).toEqual([200, "removed"]);
  });
});

describe("a session", () => {
  test("does nothing without its CSRF token, and nothing for another person", async () => {
    const own = await signIn();
    const cookie = own.cookie ?? "";
    expect((await call("DELETE", "/session", {}, { cookie })).status).toBe(403);
    expect((await call("POST", "/enrolment/options", {}, { cookie })).status).toBe(403);
    const headers = { cookie, "x-csrf-token": csrfOf(own) };
    const statement = await world.home.credentials.draft({
      action: "remove",
      person: "ben",
      approver: "dee",
      credential: ben.id,
    });
    const other = await call(
      "POST",
      `/credentials/${ben.id}/removal`,
      { statement, proof: { kind: "session" } },
      headers,
    );
    expect([other.status, other.body["detail"]]).toEqual([403, 'this session is of "ben"']);
    const invitation = await world.home.credentials.draft({
      action: "invite",
      person: "chi",
      approver: "ben",
    });
    const given = { statement: invitation, proof: { kind: "session" } };
    const invited = await call("POST", "/people/chi/invitations", given, headers);
    expect([invited.status, invited.body["code"]]).toEqual([403, "credential_refused"]);
    expect((await call("DELETE", "/session", {}, headers)).status).toBe(200);
    expect((await call("GET", "/session", null, { cookie })).body["session"]).toBeNull();
  });

  test("can't finish an enrolment that a code began, nor the reverse", async () => {
    const own = await signIn();
    const headers = { cookie: own.cookie ?? "", "x-csrf-token": csrfOf(own) };
    const code = codeOf(await invite(world, world.home, "chi", ["dee"]));
    const options = await call("POST", "/enrolment/options", { code });
    const clientDataJSON = Buffer.from(
      JSON.stringify({ type: "webauthn.create", challenge: options.body["challenge"], origin: host.origin }),
    ).toString("base64url");
    const response = { id: "x", response: { clientDataJSON, attestationObject: "oA" } };
    const crossed = await call("POST", "/enrolment", { label: "x", response }, headers);
    expect(crossed.body["code"]).toBe("sign_in_refused");
    expect(world.home.credentials.ofPerson("chi")).toEqual([]);
  });
});

test("guessed codes are limited by their source, and stop nobody who has a right one", async () => {
  for (let i = 0; i < 30; i += 1) {
    const guess = await call("POST", "/enrolment/options", { code: `p${i}.2222-2222-2222-2222` });
    expect(guess.body["code"]).toBe("invitation_invalid");
  }
  const code = codeOf(await invite(world, world.home, "chi", ["dee"]));
  for (let i = 0; i < 20; i += 1) {
    const guess = await call("POST", "/enrolment/options", { code: "chi.2222-2222-2222-2222" });
    expect(guess.body["code"]).toBe("too_many_tries");
  }
  expect((await call("POST", "/enrolment/options", { code })).status).toBe(200);
});
