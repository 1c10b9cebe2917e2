import { request } from "node:http";
import { writeFile, readFile } from "node:fs/promises";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { API_LIMITS, createRateLimits } from "../../src/transport/http/rate-limits.ts";
import { openApiWorld, type ApiWorld } from "../support/api-world.ts";
import { callTool, decide, ticketOf } from "../support/world.ts";

// Server-sent events from the durable log: live, resumed, bounded, and ended with whoever listens.

let api: ApiWorld;
beforeAll(async () => {
  api = await openApiWorld({
    api: {
      heartbeatMs: 300,
      // All of a thousand come as one token here; in a team each comes as somebody.
      limits: createRateLimits(() => performance.now(), {
        ...API_LIMITS,
        reads: { burst: 5_000, perMinute: 5_000 },
      }),
    },
    limits: { heldPerMinute: 10_000, openRequests: 1_000, previewsPerHour: 10_000 },
  });
});
afterAll(() => api.close());

interface Event {
  readonly event: string;
  readonly id: string;
  readonly data: {
    readonly id?: string;
    readonly phase?: string;
    readonly seq?: number;
    readonly reset?: boolean;
  };
}

interface Stream {
  readonly events: Event[];
  readonly text: () => string;
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly ended: Promise<void>;
  until(found: (event: Event) => boolean, ms?: number): Promise<Event>;
  close(): void;
}

function listen(headers: Record<string, string>): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const req = request(
      {
        ...{ host: "127.0.0.1", port: api.api.port, path: "/api/v1/events", setHost: false, agent: false },
        headers: { host: `localhost:${api.api.port}`, ...headers },
      },
      (response) => {
        let text = "";
        const events: Event[] = [];
        const listeners = new Set<() => void>();
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
          const blocks = text.split("\n\n").slice(0, -1);
          events.length = 0;
          for (const block of blocks) {
            const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? "";
            if (field("event") !== "")
              events.push({
                event: field("event"),
                id: field("id"),
                data: JSON.parse(field("data")) as never,
              });
          }
          for (const tell of listeners) tell();
        });
        const ended = new Promise<void>((done) => response.once("close", done));
        resolve({
          ...{ events, ended, status: response.statusCode ?? 0, headers: response.headers },
          text: () => text,
          close: () => req.destroy(),
          until(found, ms = 5_000) {
            return new Promise((done, fail) => {
              const timer = setTimeout(() => fail(new Error(`not seen in ${ms} ms: ${text}`)), ms);
              const look = (): void => {
                const event = events.find(found);
                if (event === undefined) return;
                clearTimeout(timer);
                listeners.delete(look);
                done(event);
              };
              listeners.add(look);
              look();
            });
          },
        });
      },
    );
    req.on("error", reject);
    req.end();
  });
}
const bearer = (token: Parameters<ApiWorld["as"]>[0]): Record<string, string> => ({
  authorization: `Bearer ${api.tokens[token]}`,
});
let count = 0;
const ask = async (): Promise<string> =>
  ticketOf(await callTool(api.world.home, "write_note", { book: "ledger", text: `event ${(count += 1)}` }));

describe("events", () => {
  test("say at once which request moved and to where, and nothing that an agent wrote (E1)", async () => {
    const stream = await listen(bearer("reader"));
    expect([stream.status, stream.headers["content-type"]]).toEqual([
      200,
      "text/event-stream; charset=utf-8",
    ]);
    await stream.until(({ event }) => event === "hello");
    const ref = await ask();
    const held = await stream.until(({ data }) => data.id === ref);
    expect(held.data).toMatchObject({ phase: "held", code: expect.stringMatching(/^[0-9A-Z]{6}$/) });
    expect(held.id).toBe(String(held.data.seq));
    const started = performance.now();
    await decide(api.world, api.world.home, ref, "ben");
    await stream.until(({ data }) => data.id === ref && data.phase === "granted");
    expect(performance.now() - started).toBeLessThan(300);
    expect(stream.text()).not.toContain("event 1");
    stream.close();
  });

  test("miss nothing after a break: Last-Event-ID goes on where it was (E2)", async () => {
    const stream = await listen(bearer("reader"));
    const hello = await stream.until(({ event }) => event === "hello");
    stream.close();
    const missed = [await ask(), await ask()];
    const again = await listen({ ...bearer("reader"), "last-event-id": hello.id });
    for (const ref of missed) await again.until(({ data }) => data.id === ref);
    expect(again.events[0]).toMatchObject({ event: "hello", data: { reset: false } });
    const ids = again.events.filter(({ event }) => event === "request").map(({ id }) => Number(id));
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    expect(new Set(ids).size).toBe(ids.length);
    again.close();
    const future = await listen({ ...bearer("reader"), "last-event-id": "999999999" });
    expect((await future.until(({ event }) => event === "hello")).data.reset).toBe(true);
    future.close();
  });

  test("end when the session is revoked, and a page gets nothing after that (E4)", async () => {
    const ben = api.signedIn("ben");
    const stream = await listen({ cookie: ben.cookie });
    await stream.until(({ event }) => event === "hello");
    const before = stream.text();
    api.sessions.revoke(ben.id);
    await ask();
    await stream.ended;
    expect(stream.text().replaceAll(": still here\n\n", "")).toBe(before);
    const idle = api.signedIn("chi");
    const quiet = await listen({ cookie: idle.cookie });
    await quiet.until(({ event }) => event === "hello");
    api.sessions.revoke(idle.id);
    // Also where nothing happens: the next heartbeat looks.
    await quiet.ended;
  });

  test("are only of what the token may read", async () => {
    const [reader, local] = [await listen(bearer("reader")), await listen(bearer("local"))];
    for (const stream of [reader, local]) await stream.until(({ event }) => event === "hello");
    const file = api.world.settings.policyFile;
    await writeFile(file, (await readFile(file, "utf8")).replace("production is looked at", "looked at"));
    const ben = api.signedIn("ben");
    const { statement } = (await ben.get("/policy/draft")).json;
    await ben.post("/policy/endorsements", { statement, proof: { kind: "session" } });
    await local.until(({ event }) => event === "policy");
    const ref = await ask();
    await reader.until(({ data }) => data.id === ref);
    expect(reader.events.some(({ event }) => event === "policy")).toBe(false);
    reader.close();
    local.close();
  });

  test("a thousand listen, one of them never reads, and the gate does not wait for any (E3)", async () => {
    const streams = await Promise.all(Array.from({ length: 1_000 }, () => listen(bearer("reader"))));
    const mute = connect(api.api.port, "127.0.0.1");
    mute.pause();
    mute.write(
      `GET /api/v1/events HTTP/1.1\r\nHost: localhost:${api.api.port}\r\nAuthorization: Bearer ${api.tokens.reader}\r\n\r\n`,
    );
    await Promise.all(streams.map((stream) => stream.until(({ event }) => event === "hello", 20_000)));
    const started = performance.now();
    const ref = await ask();
    await Promise.all(streams.map((stream) => stream.until(({ data }) => data.id === ref, 20_000)));
    const took = performance.now() - started;
    expect(took).toBeLessThan(3_000);
    for (const stream of streams) stream.close();
    mute.destroy();
  }, 90_000);
});
