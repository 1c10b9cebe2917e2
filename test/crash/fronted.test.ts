import { spawn } from "node:child_process";
import { afterEach, describe, expect, test } from "vitest";
import type { Reply } from "../../src/gate/reply.ts";
import type { CrashJob } from "../support/fronted-crash-child.ts";
import {
  fixtureEntry,
  makeUpstreamWorld,
  startHttpFixture,
  type UpstreamWorld,
} from "../support/upstream-world.ts";
import { CALLER, decide, ticketOf, type World } from "../support/world.ts";

// A gateway in front of a server is killed before, in the middle of, and after each batch. Does the server's tool ever run
// twice, is a reply that was lost ever called a failure, and is anything run again that nobody asked for?

let world: UpstreamWorld;
const after: (() => Promise<void>)[] = [];
afterEach(async () => {
  await world.close();
  for (const stop of after.splice(0)) await stop();
});

const RULES = `rules:
  - { id: free, match: { environment: lab }, verdict: allow }
  - { id: held, match: { environment: prod }, verdict: hold }
`;
const KINDS = ["a command", "a URL"] as const;
const open = async (kind: (typeof KINDS)[number], environment: "lab" | "prod"): Promise<void> => {
  let url: string | null = null;
  const entries = (dir: string): Record<string, object> => ({
    fix:
      kind === "a command"
        ? fixtureEntry(dir, { entry: { environment } })
        : { url: url ?? "http://127.0.0.1:1/mcp", environment },
  });
  world = await makeUpstreamWorld(entries, { rules: RULES, quiet: true, accept: kind === "a command" });
  if (kind === "a URL") {
    const server = await startHttpFixture(world.dir);
    after.push(() => server.stop());
    url = server.url;
    await world.register(entries(world.dir));
    await world.accept();
  }
};
const child = (job: Pick<CrashJob, "mode" | "ticket" | "args" | "callId">): Promise<string | null> =>
  new Promise((resolve) => {
    const given: CrashJob = {
      settings: world.settings,
      registrations: world.registrations(),
      root: world.root,
      ...job,
    };
    const running = spawn(
      process.execPath,
      ["--import", "tsx", "test/support/fronted-crash-child.ts", JSON.stringify(given)],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    let out = "";
    running.stdout.on("data", (chunk) => (out += String(chunk)));
    running.on("close", (code) => resolve(code === null ? null : out));
  });

/** Sends the call again with the same id, as a host does after it came back. */
const again = (args: CrashJob["args"], callId: string, holdMs = 30_000): Promise<Reply> =>
  world.home.gate.call(
    { tool: "fix__append", arguments: args, caller: CALLER, callId },
    { signal: new AbortController().signal, holdMs },
  );
const linesOf = (line: string): number =>
  world.effects().filter(({ args }) => args?.["line"] === line).length;

/** What is true of a request after whatever happened to its gateway. */
async function expectSound(line: string, reply: Reply): Promise<void> {
  const request = reply.status === "pending" ? reply.ticket : reply.request;
  const kinds = (await world.home.requests.history(request as never)).map(({ kind }) => kind);
  const dispatched = kinds.filter((kind) => kind === "execution.dispatched").length;
  const note = `${line}: ${reply.status}, ${kinds.join(" ")}`;
  expect(linesOf(line), note).toBeLessThanOrEqual(1);
  expect(dispatched, note).toBeLessThanOrEqual(1);
  // A write that was sent and has no answer is unknown, and never failed (X2).
  expect(reply.status, note).toMatch(/^(done|unknown)$/);
  if (reply.status === "done") expect(linesOf(line), note).toBe(1);
  if (linesOf(line) === 1) expect(dispatched, note).toBe(1);
}

const DEATHS = ["unwritten", "torn", "durable"] as const;
/** Where a torn line of the log is met, the server behind it makes no difference. */
const deathsOf = (kind: (typeof KINDS)[number]): readonly (typeof DEATHS)[number][] =>
  kind === "a command" ? DEATHS : ["unwritten", "durable"];

describe.each(KINDS)("in front of %s", (kind) => {
  test(
    "an allowed change whose gateway is killed around each batch runs once at most, and its re-sent call finds it",
    { timeout: 240_000 },
    async () => {
      await open(kind, "lab");
      await world.home.startSteward();
      const seen: string[] = [];
      for (const death of deathsOf(kind)) {
        for (let n = 1; n < 10; n += 1) {
          const line = `${death}-${n}`;
          const args = { line };
          const out = await child({ mode: line, ticket: null, args, callId: `call ${line}` });
          if (out !== null) {
            expect(JSON.parse(out), line).toMatchObject({ status: "done" });
            break;
          }
          const reply = await again(args, `call ${line}`);
          await expectSound(line, reply);
          seen.push(`${line} ${reply.status}`);
          // And once more, with nothing left to wait for.
          expect((await again(args, `call ${line}`)).status, line).toBe(reply.status);
          expect(linesOf(line), line).toBeLessThanOrEqual(1);
        }
      }
      // Before its dispatch is durable nothing was sent, and the re-sent call is the first; after it nobody can know.
      expect(seen).toEqual([
        ...["unwritten-1 done", "unwritten-2 unknown"],
        ...(kind === "a command" ? ["torn-1 done", "torn-2 unknown"] : []),
        ...["durable-1 unknown", "durable-2 done"],
      ]);
    },
  );

  test(
    "a held change whose gateway is killed around each batch, before and after its approval, runs once at most",
    { timeout: 240_000 },
    async () => {
      await open(kind, "prod");
      const seen: string[] = [];
      for (const death of deathsOf(kind)) {
        for (let n = 1; n < 10; n += 1) {
          const line = `${death}-${n}`;
          const args = { line };
          // Killed while it asks.
          const asked = await child({ mode: line, ticket: null, args, callId: `call ${line}` });
          const pending = await again(args, `call ${line}`, 0);
          const ticket = ticketOf(pending);
          expect(linesOf(line), line).toBe(0);
          expect((await decide(world as unknown as World, world.home, ticket, "ben")).ok, line).toBe(true);
          // Killed while it runs what was approved.
          const ran = await child({ mode: line, ticket, args, callId: `call ${line}` });
          if (ran === null && asked === null) seen.push(line);
          const steward = await world.open();
          await steward.startSteward();
          await expect
            .poll(async () => (await steward.requests.find(ticket)).phase, { timeout: 30_000 })
            .toMatch(/^(done|unknown|failed)$/);
          await steward.close();
          const reply = await again(args, `call ${line}`);
          await expectSound(line, reply);
          expect(reply.status === "pending" ? null : reply.request, line).toBe(ticket);
          if (ran !== null) {
            expect(reply.status, line).toBe("done");
            break;
          }
        }
      }
      expect(seen.length).toBeGreaterThan(0);
    },
  );
});
