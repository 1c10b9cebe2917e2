import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { eventually } from "../support/client-matrix.ts";
import { CLIENT_KINDS, type ClientKind, type TestClient, type ToolResult } from "../support/mcp-clients.ts";
import {
  defaultPolicy,
  missingForMain,
  openRealHome,
  type RealHome,
  type RunningGateway,
} from "../support/real-gateway.ts";
import { FIXTURE, startHttpFixture } from "../support/upstream-world.ts";

// The bundled gateway in front of a server whose tool writes one line a call, killed with kill -9 while the server works,
// once it has answered, and between an approval and its run. Then it is started again, and the call sent again with the
// same id by clients of both generations: does a second line ever appear, and is a lost reply ever called anything but
// unknown?

const missing = missingForMain();
const clientOf = (name: string): ClientKind => {
  const kind = CLIENT_KINDS.find((one) => one.name === name);
  if (kind === undefined) throw new Error(`no client ${name}`);
  return kind;
};
const CLIENTS = [clientOf("v1 SDK over HTTP with a session"), clientOf("v2 SDK, 2026-07-28, over HTTP")];
const BEHIND = ["a command", "a URL"] as const;

describe.skipIf(missing !== null).each(BEHIND)("kill -9 in front of %s", (behind) => {
  let home: RealHome;
  let dir: string;
  let gateway: RunningGateway;
  const after: (() => unknown)[] = [];
  afterEach(async () => {
    for (const stop of after.splice(0).reverse()) await stop();
  });

  const open = async (verdict: "allow" | "hold"): Promise<void> => {
    dir = mkdtempSync(join(tmpdir(), "countersign-fronted-"));
    after.push(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
    let line = `command: ${JSON.stringify([process.execPath, FIXTURE])}, env: { FIXTURE_DIR: ${JSON.stringify(dir)} }`;
    if (behind === "a URL") {
      const server = await startHttpFixture(dir);
      after.push(() => server.stop());
      line = `url: ${JSON.stringify(server.url)}`;
    }
    home = await openRealHome({
      hold: "30s",
      config: `upstreams:\n  fix: { ${line}, environment: prod }\n`,
      policy: (facts) =>
        `${defaultPolicy(facts).replace("rules:\n", `rules:\n  - { id: fronted, match: { tool: fix__append }, verdict: ${verdict} }\n`)}adopt: on_save\n`,
    });
    after.push(() => home.close());
    const accepted = await home.run(["--home", home.home, "upstream", "accept", "--yes"]);
    if (accepted.code !== 0) throw new Error(accepted.out + accepted.err);
    await start();
    // Adopted as it is saved, a moment later.
    const client = await connect(CLIENTS[1] as ClientKind);
    await eventually(async () =>
      (await client.tools()).some(({ name }) => name === "fix__append") ? true : undefined,
    );
    await client.close();
  };
  const start = async (): Promise<void> => {
    gateway = await home.start();
  };
  const connect = async (kind: ClientKind): Promise<TestClient> => {
    const client = await kind.connect(home.http(gateway));
    after.push(() => client.close().catch(() => undefined));
    return client;
  };
  const effects = (): number =>
    existsSync(join(dir, "effects.jsonl"))
      ? readFileSync(join(dir, "effects.jsonl"), "utf8").trimEnd().split("\n").length
      : 0;
  const hold = (file: "hold-before" | "hold-after"): void => writeFileSync(join(dir, file), "");
  const letGo = (): void => {
    for (const file of ["hold-before", "hold-after"]) rmSync(join(dir, file), { force: true });
  };
  const send = (client: TestClient, line: string, timeoutMs = 60_000): Promise<ToolResult> =>
    client.call(
      "fix__append",
      { line, justification: "the file wants it" },
      { timeoutMs, meta: { "dev.countersign/callId": `call ${line}` } },
    );
  const kindsOf = (kind: string): number => home.entries().filter((entry) => entry.kind === kind).length;
  const dispatched = (count: number): Promise<unknown> =>
    eventually(() => Promise.resolve(kindsOf("execution.dispatched") >= count ? true : undefined));
  const kill = async (): Promise<void> => {
    await gateway.stop("SIGKILL");
  };
  /** Sends it again by every kind of client, and again by a second one of the first. */
  const sendAgain = async (line: string): Promise<readonly ToolResult[]> => {
    const results: ToolResult[] = [];
    for (const kind of [...CLIENTS, CLIENTS[0] as ClientKind]) {
      const client = await connect(kind);
      let result = await send(client, line);
      while (result.data["status"] === "pending") {
        result = await client.call("countersign_wait", { ticket: String(result.data["ticket"]) });
      }
      results.push(result);
      await client.close();
    }
    return results;
  };
  const statusOf = (result: ToolResult): unknown => result.data["status"] ?? result.text;

  test.each(CLIENTS)(
    "while it works, and after it has acted: unknown, and never a second line ($name)",
    { timeout: 240_000 },
    async (kind) => {
      await open("allow");
      for (const [i, moment] of (["hold-before", "hold-after"] as const).entries()) {
        hold(moment);
        const before = effects();
        const sent = send(await connect(kind), moment, 6_000).catch(() => null);
        await dispatched(i + 1);
        if (moment === "hold-after") {
          await eventually(() => Promise.resolve(effects() > before ? true : undefined));
        }
        await kill();
        expect(await sent, "a client whose gateway died has no answer").toBeNull();
        await start();
        letGo();
        for (const result of await sendAgain(moment)) {
          expect(statusOf(result), moment).toBe("unknown");
          expect(result.isError).toBe(true);
        }
        expect(effects() - before, moment).toBeLessThanOrEqual(1);
        if (moment === "hold-after") expect(effects() - before).toBe(1);
        expect(kindsOf("execution.dispatched")).toBe(i + 1);
      }
      await gateway.stop();
      await home.demandVerified();
    },
  );

  test.each(CLIENTS)(
    "between an approval and its run, and while it runs: once at most, and what was sent is unknown ($name)",
    { timeout: 240_000 },
    async (kind) => {
      await open("hold");
      // Asked, and killed while people are asked; approved while nobody serves; run by the gateway that comes.
      const sent = send(await connect(kind), "approved", 6_000).catch(() => null);
      const { request } = await home.nextPending();
      await kill();
      expect((await home.approve(request)).code).toBe(0);
      expect(effects()).toBe(0);
      await start();
      await eventually(() => Promise.resolve(effects() === 1 ? true : undefined));
      for (const result of await sendAgain("approved")) expect(result.text).toContain("appended");
      expect(effects()).toBe(1);

      // Approved, and killed while the server works.
      hold("hold-after");
      const second = send(await connect(kind), "working", 6_000).catch(() => null);
      const next = await home.nextPending([request]);
      expect((await home.approve(next.request)).code).toBe(0);
      await eventually(() => Promise.resolve(effects() === 2 ? true : undefined));
      await kill();
      await start();
      letGo();
      for (const result of await sendAgain("working")) {
        expect(statusOf(result)).toBe("unknown");
        expect(result.data["requestId"]).toBe(next.request);
      }
      expect(effects()).toBe(2);
      expect(kindsOf("execution.dispatched")).toBe(2);
      // A client whose gateway died had no answer.
      expect([await sent, await second]).toEqual([null, null]);
      await gateway.stop();
      await home.demandVerified();
    },
  );
});
