import { request } from "node:http";
import { afterEach, expect, test } from "vitest";
import { LIVE_HEADER } from "../../src/transport/http/actor.ts";
import { API_LIMITS, createRateLimits } from "../../src/transport/http/rate-limits.ts";
import { createSessions } from "../../src/transport/http/sessions.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { openApiWorld, type ApiWorld } from "../support/api-world.ts";
import { rawHttp } from "../support/raw-http.ts";

// Who may listen takes nothing from those who have to be told.

const HOUR = 3_600_000;
let api: ApiWorld;
const closers: (() => void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await api.close();
});

const open = async (): Promise<void> => {
  const limits = { ...API_LIMITS, reads: { burst: 10_000, perMinute: 10_000 } };
  api = await openApiWorld({ api: { limits: createRateLimits(() => performance.now(), limits) } });
};

/** Opens a stream and gives its status; it stays open until the test is over. */
const listen = (headers: Record<string, string>, whenOver = (): void => undefined): Promise<number> =>
  new Promise((resolve, reject) => {
    const asked = request(
      {
        ...{ host: "127.0.0.1", port: api.api.port, path: "/api/v1/events", setHost: false, agent: false },
        headers: { host: `localhost:${api.api.port}`, ...headers },
      },
      (response) => {
        response.resume();
        response.on("close", whenOver);
        resolve(response.statusCode ?? 0);
      },
    );
    asked.on("error", reject);
    asked.end();
    closers.push(() => asked.destroy());
  });

test("asking for the head of the stream opens none that stays, however often", async () => {
  await open();
  const headers = { host: `localhost:${api.api.port}`, authorization: `Bearer ${api.tokens.reader}` };
  const head = () => rawHttp({ port: api.api.port, method: "HEAD", path: "/api/v1/events", headers });
  for (let i = 0; i < 26; i += 1) {
    const answers = await Promise.all(Array.from({ length: 100 }, head));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  }
  expect(await listen({ authorization: `Bearer ${api.tokens.reader}` })).toBe(200);
}, 60_000);

test("one person's streams leave room for everybody else's (E5)", async () => {
  await open();
  const ana = api.signedIn("ana");
  const statuses = [];
  for (let i = 0; i < 49; i += 1) statuses.push(await listen({ cookie: ana.cookie }));
  expect(statuses.filter((status) => status === 200)).toHaveLength(48);
  expect(statuses.at(-1)).toBe(429);
  expect(await listen({ cookie: api.signedIn("ben").cookie })).toBe(200);
});

test("a page that stays open keeps no session from ending, and its stream ends with it (S3)", async () => {
  const clock = createFakeClock();
  const sessions = await createSessions({
    file: { read: () => Promise.resolve(null), write: () => Promise.resolve() },
    now: () => clock.now(),
    idleMs: 2 * HOUR,
    absoluteMs: 12 * HOUR,
    name: "test",
    stands: () => true,
  });
  api = await openApiWorld({ clock, api: { sessions, heartbeatMs: 20 } });
  const who = { person: "ben", method: "oidc", subject: "x", signedInAt: clock.now() } as const;
  const cookie = (await sessions.start(who)).cookie.split(";")[0] ?? "";
  const get = (headers: Record<string, string> = {}) =>
    rawHttp({
      ...{ port: api.api.port, method: "GET", path: "/api/v1/requests" },
      headers: { host: `localhost:${api.api.port}`, cookie, ...headers },
    });
  let isOver = false;
  void listen({ cookie, accept: "text/event-stream" }, () => (isOver = true));
  for (const minutes of [50, 50]) {
    clock.advance(minutes * 60_000);
    // Heartbeats, and the newer copies that an open page fetches.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await get({ [LIVE_HEADER]: "1" })).status).toBe(200);
  }
  expect(isOver).toBe(false);
  clock.advance(20 * 60_000);
  await expect.poll(() => isOver).toBe(true);
  expect((await get()).status).toBe(401);
});
