import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { createPeople } from "../../src/serve/people.ts";
import { createSessions, type SessionParts, type StoredSession } from "../../src/transport/http/sessions.ts";
import { createTries } from "../../src/transport/http/tries.ts";
import { createChallenges } from "../../src/transport/http/challenges.ts";
import { localPath } from "../../src/transport/http/landing-page.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { enrol, ORIGIN, signWithKey } from "../support/passkey-world.ts";
import { makeWorld, type World } from "../support/world.ts";

const HOUR = 3_600_000;
const BEN = { person: "ben", method: "passkey", subject: "cred", signedInAt: 0 } as const;

async function start(more: Partial<SessionParts> = {}) {
  const clock = createFakeClock();
  const gone = new Set<string>();
  let stored: readonly StoredSession[] | null = null;
  const parts: SessionParts = {
    file: {
      read: () => Promise.resolve(stored),
      write: (sessions) => Promise.resolve(void (stored = structuredClone(sessions))),
    },
    now: () => clock.now(),
    idleMs: 2 * HOUR,
    absoluteMs: 12 * HOUR,
    name: "abc123",
    stands: ({ person, subject }) => !gone.has(person) && !gone.has(subject),
    ...more,
  };
  return { clock, gone, parts, sessions: await createSessions(parts), stored: () => stored };
}
const headerOf = (cookie: string): string => cookie.split(";")[0] ?? "";

describe("a session", () => {
  test("is found by its cookie, survives a restart, and its token stands in no file (S1)", async () => {
    const { parts, sessions, stored } = await start();
    const { session, cookie } = await sessions.start(BEN);
    expect(cookie).toMatch(
      /^__Host-countersign-abc123=[A-Za-z0-9_-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=43200$/,
    );
    const header = headerOf(cookie);
    expect(sessions.find(header)).toMatchObject({ person: "ben", id: session.id, csrf: session.csrf });
    const kept = JSON.stringify(stored());
    expect(kept).not.toContain(header.split("=")[1]);
    expect(kept).not.toContain(session.csrf);
    const restarted = await createSessions(parts);
    expect(restarted.find(`other=1; ${header}`)).toMatchObject({ id: session.id, csrf: session.csrf });
  });

  test("is not found by a cookie that stands twice, is misspelt, or is another's", async () => {
    const { sessions } = await start();
    const header = headerOf((await sessions.start(BEN)).cookie);
    expect(sessions.find(undefined)).toBeNull();
    expect(sessions.find(`${header}; ${header}`)).toBeNull();
    expect(sessions.find(`${header}x`)).toBeNull();
    expect(sessions.find(header.replace("abc123", "abc124"))).toBeNull();
    expect(sessions.find(`__Host-countersign-abc123=${"A".repeat(43)}`)).toBeNull();
  });

  test("ends when it is not used, and in any case with its time (S3)", async () => {
    const { clock, sessions } = await start();
    const idle = headerOf((await sessions.start(BEN)).cookie);
    clock.advance(2 * HOUR);
    expect(sessions.find(idle)).toBeNull();
    const used = headerOf((await sessions.start(BEN)).cookie);
    for (let hours = 1; hours < 12; hours += 1) {
      clock.advance(HOUR);
      expect(sessions.find(used)).not.toBeNull();
    }
    clock.advance(HOUR);
    expect(sessions.find(used)).toBeNull();
  });

  test("ends at once with its person or with what signed them in, and is refused to somebody gone (S3)", async () => {
    const { gone, sessions } = await start();
    const header = headerOf((await sessions.start(BEN)).cookie);
    gone.add("cred");
    expect(sessions.find(header)).toBeNull();
    gone.clear();
    gone.add("ben");
    await expect(sessions.start(BEN)).rejects.toMatchObject({ code: "SIGN_IN_REFUSED" });
  });

  test("is listed without what opens it, and revoked by its own person only", async () => {
    const { clock, sessions } = await start();
    const first = await sessions.start(BEN);
    clock.advance(1);
    const second = await sessions.start(BEN);
    const chi = await sessions.start({ ...BEN, person: "chi" });
    expect(sessions.list("ben").map(({ id, csrf }) => [id, csrf])).toEqual([
      [second.session.id, ""],
      [first.session.id, ""],
    ]);
    expect(await sessions.end("ben", chi.session.id)).toBe(false);
    expect(await sessions.end("ben", first.session.id)).toBe(true);
    expect(sessions.find(headerOf(first.cookie))).toBeNull();
    await sessions.start(BEN);
    expect(await sessions.endOthers("ben", second.session.id)).toBe(1);
    expect(sessions.find(headerOf(second.cookie))).not.toBeNull();
    expect(sessions.find(headerOf(chi.cookie))).not.toBeNull();
  });

  test("beyond a person's twenty, the oldest end", async () => {
    const { clock, sessions } = await start();
    const first = headerOf((await sessions.start(BEN)).cookie);
    for (let i = 0; i < 20; i += 1) {
      clock.advance(1);
      await sessions.start(BEN);
    }
    expect(sessions.list("ben")).toHaveLength(20);
    expect(sessions.find(first)).toBeNull();
  });
});

describe("in a real home", () => {
  let world: World;
  afterEach(() => world.close());

  test("sessions are kept in a file that only the gateway's account reads, and end with their passkey", async () => {
    world = await makeWorld({ head: "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }" });
    world.home.credentials.serveAt(ORIGIN);
    const ben = await enrol(world, world.home, "ben", ["dee"]);
    const people = await createPeople(world.home, world.settings);
    const { cookie } = await people.sessions.start({ ...BEN, subject: ben.id, signedInAt: Date.now() });
    const path = join(world.settings.dataDir, "sessions.json");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, "utf8")).not.toContain(headerOf(cookie).split("=")[1]);
    const restarted = await createPeople(world.home, world.settings);
    expect(restarted.sessions.find(headerOf(cookie))).toMatchObject({ person: "ben" });
    const statement = await world.home.credentials.draft({
      action: "remove",
      person: "ben",
      approver: "ben",
      credential: ben.id,
    });
    await world.home.credentials.remove(signWithKey(world, statement), "lost");
    expect(restarted.sessions.find(headerOf(cookie))).toBeNull();
  });
});

describe("tries", () => {
  const limits = { most: () => 3, windowMs: 1_000, lockMs: 5_000 };

  test("lock a key out after so many failures within the window, for a while, and nobody else", () => {
    let now = 0;
    const locked: string[] = [];
    const tries = createTries(
      () => now,
      limits,
      (key) => locked.push(key),
    );
    for (let i = 0; i < 3; i += 1) tries.failed(["a"]);
    expect(locked).toEqual(["a"]);
    expect(() => tries.demand(["b", "a"])).toThrow(
      expect.objectContaining({ code: "TOO_MANY_TRIES" }) as Error,
    );
    tries.demand(["b"]);
    now = 5_000;
    tries.demand(["a"]);
  });

  test("that failed long ago, or before one succeeded, do not add up", () => {
    let now = 0;
    const tries = createTries(() => now, limits);
    tries.failed(["a"]);
    tries.failed(["a"]);
    now = 1_000;
    tries.failed(["a"]);
    tries.failed(["a"]);
    tries.demand(["a"]);
    tries.succeeded(["a"]);
    tries.failed(["a"]);
    expect(() => tries.demand(["a"])).not.toThrow();
  });
});

test("a challenge is taken once, in its time, and only if it was ours", () => {
  let now = 0;
  const challenges = createChallenges<string>(() => now);
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
  const one = text(challenges.issue("ben"));
  expect(challenges.take(one)).toBe("ben");
  expect(challenges.take(one)).toBeNull();
  expect(challenges.take("AAAA")).toBeNull();
  const late = text(challenges.issue("ben"));
  now = 5 * 60_000;
  expect(challenges.take(late)).toBeNull();
});

test.each([
  [undefined, "/"],
  ["/requests/req_1?x=1", "/requests/req_1?x=1"],
  ["//evil.example", "/"],
  ["/\\evil.example", "/"],
  ["https://evil.example", "/"],
  ['/x"onload=1', "/"],
  ["/a\nb", "/"],
])("where a sign-in leads on to is a path of our own: %s", (given, expected) => {
  expect(localPath(given)).toBe(expected);
});
