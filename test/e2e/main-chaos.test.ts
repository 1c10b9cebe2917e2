import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CLIENT_KINDS, type TestClient } from "../support/mcp-clients.ts";
import { TASK_CLIENT_KINDS, type TaskClient, type TaskClientKind } from "../support/task-clients.ts";
import { missingForMain, openRealHome, type RunningGateway } from "../support/real-gateway.ts";

// Do concurrent callers, two sorts of gateway and random kill -9 ever run one thing twice, forget what was acknowledged,
// or tell an outcome that the disk does not show?

const missing = missingForMain();
const RUN_MS = 25_000;
/** A busy machine gets longer to see as many deaths and ends as the checks want. */
const LONGEST_RUN_MS = 75_000;
const LEAST_KILLS = 5;
const LEAST_DONE = 3;
const kind = CLIENT_KINDS.find((one) => one.name === "v2 SDK, 2026-07-28, over stdio");
const taskKind = TASK_CLIENT_KINDS.find((one) => one.name === "tasks extension, 2026-07-28, over stdio");

/** A small generator with a seed, so that a failure names what it did. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(missing !== null)(missing ?? "many calls and many deaths", () => {
  test(
    "each release is written once, every acknowledged ticket is known, outcomes are what the disk shows",
    { timeout: 240_000 },
    async () => {
      const seed = Date.now() & 0xffff;
      const random = randomFrom(seed);
      const home = await openRealHome({ hold: "2s", rounds: 2 });
      const acknowledged = new Map<string, string>();
      let gateway: RunningGateway | null = await home.start();
      let kills = 0;
      const started = Date.now();
      const hasSeenEnough = (): boolean =>
        kills >= LEAST_KILLS &&
        [...acknowledged.values()].filter((status) => status === "done").length >= LEAST_DONE;
      const isOver = (): boolean => Date.now() - started > (hasSeenEnough() ? RUN_MS : LONGEST_RUN_MS);

      let refs = 0;
      const nextRef = (): string => {
        refs += 1;
        home.source.commit({ "index.html": `<p>${refs}</p>\n` }, `change ${refs}`);
        home.source.git("branch", `change/${refs}`);
        return `change/${refs}`;
      };

      /** One agent's host: starts the stdio command, calls, repeats what broke, is killed now and then. */
      const agent = async (name: string, service: string): Promise<void> => {
        let client: TestClient | null = null;
        const pidFile = join(home.root, `pid-${name}`);
        let ref = nextRef();
        while (!isOver()) {
          const { command, args } = home.stdio();
          try {
            client ??= await (kind as NonNullable<typeof kind>).connect({
              ...home.stdio(),
              command: "/bin/sh",
              args: ["-c", `echo $$ > ${pidFile}; exec "$0" "$@" 2>/dev/null`, command, ...args],
            });
            if (random() < 0.3) {
              const pid = Number(readFileSync(pidFile, "utf8"));
              setTimeout(() => {
                try {
                  process.kill(pid, "SIGKILL");
                  kills += 1;
                } catch {
                  // It ended before.
                }
              }, random() * 1_500);
            }
            let { data } = await client.call("deploy_service", { service, ref }, { timeoutMs: 8_000 });
            const ticket = data["ticket"] ?? data["requestId"];
            if (typeof ticket === "string") acknowledged.set(ticket, String(data["status"]));
            if (data["status"] === "pending") {
              ({ data } = await client.call(
                "countersign_wait",
                { ticket: String(ticket) },
                { timeoutMs: 8_000 },
              ));
              if (typeof ticket === "string") acknowledged.set(ticket, String(data["status"]));
            }
            // What is not over is asked for again, with the same arguments; otherwise something new.
            if (data["status"] !== "pending") ref = nextRef();
          } catch {
            await client?.close().catch(() => undefined);
            client = null;
          }
        }
        await client?.close().catch(() => undefined);
      };
      /** A host that takes tasks: it calls, polls, and after every death calls again with the same arguments. */
      const tasksAgent = async (service: string): Promise<void> => {
        let client: TaskClient | null = null;
        let ref = nextRef();
        while (!isOver()) {
          try {
            client ??= await (taskKind as TaskClientKind).connect(home.stdio());
            const { taskId, settled } = await client.start("deploy_service", { service, ref });
            if (!acknowledged.has(taskId)) acknowledged.set(taskId, "pending");
            const ended = await Promise.race([settled, sleep(8_000).then(() => null)]);
            if (ended === null) continue;
            if (ended !== "cancelled") acknowledged.set(taskId, String(ended.data["status"]));
            ref = nextRef();
          } catch {
            await client?.leave().catch(() => undefined);
            client = null;
            await sleep(100);
          }
        }
        await client?.leave().catch(() => undefined);
      };
      const person = async (): Promise<void> => {
        while (!isOver()) {
          const waiting = await home.pending().catch(() => []);
          for (const one of waiting.slice(0, 3)) await home.approve(one.request, "ben", { code: one.code });
          await sleep(200);
        }
      };
      const reaper = async (): Promise<void> => {
        while (!isOver()) {
          await sleep(800 + random() * 2_500);
          if (gateway !== null) {
            await gateway.stop("SIGKILL");
            kills += 1;
            gateway = null;
          }
          // Without one for a while, stdio commands are gateways of their own.
          await sleep(random() * 1_500);
          gateway = await home.start().catch(() => null);
        }
      };
      try {
        await Promise.all([
          agent("a", "web"),
          agent("b", "lab"),
          agent("c", "web"),
          tasksAgent("web"),
          person(),
          reaper(),
        ]);
        await gateway?.stop("SIGKILL");
        gateway = await home.start();
        // Whatever was under way comes to its end: recovered, run, or still waiting for people.
        const open = /^(received|planned|granted|claimed|dispatched)$/;
        const requests = async () => home.list(gateway as RunningGateway);
        await expect
          .poll(async () => (await requests()).filter((one) => open.test(one.phase)), {
            timeout: 60_000,
            interval: 500,
          })
          .toEqual([]);

        const all = await requests();
        const note = `seed ${seed}, ${kills} kills, ${all.length} requests`;
        expect(kills, note).toBeGreaterThanOrEqual(LEAST_KILLS);
        expect(all.filter((one) => one.phase === "done").length, note).toBeGreaterThanOrEqual(LEAST_DONE);
        const phases = new Map<string, string>(all.map((one) => [one.id, one.phase]));
        for (const [ticket, status] of acknowledged) {
          expect(phases.has(ticket), `${ticket} was acknowledged; ${note}`).toBe(true);
          if (status === "done" || status === "failed") expect(phases.get(ticket), note).toBe(status);
        }

        const entries = home.entries();
        const dispatched = entries
          .filter((entry) => entry.kind === "execution.dispatched")
          .map((entry) => entry.subject);
        expect(new Set(dispatched).size, note).toBe(dispatched.length);
        // The last part of a release's name is the end of its request's id, in lower case.
        const requestOf = (release: string): string =>
          dispatched.find((id) => id.toLowerCase().endsWith(release.slice(-6))) ?? `none for ${release}`;
        const runs = home.commandRuns();
        for (const phase of ["check", "health"]) {
          const of = runs.filter((line) => line.startsWith(`${phase} `));
          expect(new Set(of).size, `${phase} ran twice; ${note}`).toBe(of.length);
          for (const line of of) expect(requestOf(line), note).toMatch(/^req_/);
        }
        for (const line of runs.filter((one) => one.startsWith("health "))) {
          const release = line.slice("health ".length);
          if (!runs.includes(`rollback ${release}`)) {
            expect(phases.get(requestOf(release)), `${release} went live; ${note}`).toMatch(
              /^(done|unknown)$/,
            );
          }
        }
        for (const { id } of all.filter((one) => one.phase === "done")) {
          const release = runs.find((line) => line.startsWith("check ") && requestOf(line) === id);
          expect(release, `${id} is done and left nothing; ${note}`).toBeDefined();
          const name = release?.slice("check ".length) ?? "";
          expect(
            ["srv", "lab"].some((root) => existsSync(join(home.root, root, "releases", name, "index.html"))),
            note,
          ).toBe(true);
        }
        await gateway.stop();
        const verified = await home.verify();
        expect(verified.out, note).toContain("the log is what was signed");
        await home.demandVerified();
      } finally {
        await home.close();
      }
    },
  );
});
