import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/client-matrix.ts";
import { treeOf, treeOnDisk } from "../support/commit-tree.ts";
import { inspect, missingInspector } from "../support/inspector.ts";
import { CLIENT_KINDS, type Endpoint, type TestClient } from "../support/mcp-clients.ts";
import { TASK_CLIENT_KINDS } from "../support/task-clients.ts";
import { missingForMain, openRealHome, type RealHome, type RunningGateway } from "../support/real-gateway.ts";

// The main job, once for each client: held, nothing touched, approved by a person, exactly what was shown is there,
// once. A person sees the commit in the recorded question; the disk is compared with what git says that commit is.

const missing = missingForMain();
const inspector = missingInspector();
if (inspector !== null && process.env["COUNTERSIGN_TARGETS"] === "required") throw new Error(inspector);

interface Caller {
  readonly name: string;
  readonly over: "stdio" | "http";
  call(at: Endpoint, tool: string, args: object): Promise<Record<string, unknown>>;
  close?(): Promise<void>;
}

const sdkCallers = CLIENT_KINDS.map((kind): Caller => {
  let client: Promise<TestClient> | undefined;
  return {
    name: kind.name,
    over: kind.over,
    async call(at, tool, args) {
      client ??= kind.connect(at);
      return (await (await client).call(tool, { ...args })).data;
    },
    close: async () => (await client)?.close(),
  };
});
const inspectorCallers = (["stdio", "http"] as const).map((over): Caller => ({
  name: `MCP Inspector over ${over}`,
  over,
  async call(at, tool, args) {
    const options = ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", JSON.stringify(args)];
    const said = await inspect(
      at.kind === "http"
        ? [
            at.url,
            "--transport",
            "http",
            "--header",
            `Authorization: Bearer ${at.token}`,
            ...options,
            "--format",
            "json",
          ]
        : [...options, "--format", "json", at.command, ...at.args],
    );
    try {
      return (JSON.parse(said.out) as { result: { structuredContent: Record<string, unknown> } }).result
        .structuredContent;
    } catch {
      throw new Error(`the inspector gave no JSON: ${said.out}${said.err}`);
    }
  },
}));

describe.skipIf(missing !== null)(missing ?? "the main job", () => {
  let home: RealHome;
  let gateway: RunningGateway;
  beforeAll(async () => {
    home = await openRealHome({ hold: "8s" });
    gateway = await home.start();
  });
  afterAll(async () => {
    for (const caller of sdkCallers) await caller.close?.();
    await gateway.stop();
    await home.demandVerified();
    await home.close();
  });

  let n = 0;
  const change = (): { ref: string; commit: string } => {
    n += 1;
    const commit = home.source.commit(
      {
        "index.html": `<p>change ${n}</p>\n`,
        [`pages/${n} with blank/é.txt`]: `page ${n}\n`,
        "bin/serve": { script: `#!/bin/sh\necho ${n}\n` },
      },
      `change ${n}`,
    );
    // A ref of its own: the same arguments would be answered from the request before, for ten minutes.
    home.source.git("branch", `change/${n}`);
    return { ref: `change/${n}`, commit };
  };
  const heldNow = async (): Promise<string[]> =>
    (await home.list(gateway)).filter((one) => one.phase === "held").map((one) => one.id);
  const nextHeld = (): Promise<string> => eventually(async () => (await heldNow())[0]);
  const at = (caller: Caller): Endpoint => (caller.over === "http" ? home.http(gateway) : home.stdio());
  const finished = async (
    caller: Caller,
    first: Record<string, unknown>,
  ): Promise<Record<string, unknown>> => {
    let now = first;
    for (let i = 0; i < 10 && now["status"] === "pending"; i += 1) {
      now = await caller.call(at(caller), "countersign_wait", { ticket: now["ticket"] });
    }
    return now;
  };

  // One that is not installed stands in the report as skipped, with its reason.
  const callers = [
    ...sdkCallers.map((caller) => ({ caller, absent: null })),
    ...inspectorCallers.map((caller) => ({ caller, absent: inspector })),
  ];
  describe.each(callers)("$caller.name", ({ caller, absent }) => {
    test.skipIf(absent !== null)(
      "is held, touches nothing before the approval, and brings out exactly what was shown, once",
      async () => {
        const { ref, commit } = change();
        const args = { service: "web", ref, justification: "the sale starts at noon" };
        const before = home.outside();
        const answer = caller.call(at(caller), "deploy_service", args);
        answer.catch(() => undefined);
        const request = await nextHeld();
        expect(home.outside()).toBe(before);

        const shown = await home.run(["--home", home.home, "show", request]);
        expect(shown.out).toContain(`commit: ${commit}`);
        expect(shown.out).toContain("the sale starts at noon");
        expect(home.outside()).toBe(before);
        const answered = await home.approveByApi(gateway, request);
        expect([answered.status, await answered.json()]).toMatchObject([200, { state: "granted" }]);

        expect(await finished(caller, await answer)).toMatchObject({
          status: "done",
          requestId: request,
          result: { commit },
        });
        expect(home.current()).toBe(`releases/${home.releasesOf(commit)[0] ?? ""}`);
        expect(treeOnDisk(join(home.releases, home.current() ?? ""))).toEqual(treeOf(home.source, commit));

        // The same call again is answered from the request that exists, and so is its ticket.
        const runs = home.commandRuns();
        const after = home.outside();
        expect(await caller.call(at(caller), "deploy_service", args)).toMatchObject({
          status: "done",
          requestId: request,
        });
        expect(await caller.call(at(caller), "countersign_wait", { ticket: request })).toMatchObject({
          status: "done",
          requestId: request,
        });
        expect(home.commandRuns()).toEqual(runs);
        expect(home.outside()).toBe(after);
        expect(home.releasesOf(commit)).toHaveLength(1);
      },
    );

    test.skipIf(absent !== null)("takes its request back, and an approval comes too late", async () => {
      const { ref } = change();
      const before = home.outside();
      const answer = caller.call(at(caller), "deploy_service", { service: "web", ref });
      answer.catch(() => undefined);
      const request = await nextHeld();
      const withdrawn = await caller.call(at(caller), "countersign_withdraw", {
        ticket: request,
        reason: "wrong branch",
      });
      expect(withdrawn).toMatchObject({ status: "refused", code: "withdrawn" });
      expect(await answer).toMatchObject({ status: "refused", code: "withdrawn" });
      const late = await home.run(["--home", home.home, "approve", request, "--yes", "--code", "AAAAAA"]);
      expect(late.code).not.toBe(0);
      expect(home.outside()).toBe(before);
    });
  });
});

describe.skipIf(missing !== null)(missing ?? "with the hold that ships, longer than clients wait", () => {
  const named = (name: string) =>
    CLIENT_KINDS.find((one) => one.name === name) as (typeof CLIENT_KINDS)[number];

  test(
    "one client has a ticket after 40 s, one goes on waiting in rounds, one has a task; each gets its result",
    { timeout: 240_000 },
    async () => {
      const home = await openRealHome({ rounds: 9 });
      const gateway = await home.start();
      const old = await named("v1 SDK over stdio").connect(home.stdio());
      const modern = await named("v2 SDK, 2026-07-28, over HTTP").connect(home.http(gateway));
      const extension = TASK_CLIENT_KINDS.find((one) => one.name.startsWith("tasks extension, 2026"));
      const tasks = await (extension as (typeof TASK_CLIENT_KINDS)[number]).connect(home.stdio());
      try {
        for (const name of ["rounds", "task"]) home.source.git("branch", name);
        const before = home.outside();
        const messages: string[] = [];
        const asked = Date.now();
        const args = (ref: string) => ({ service: "web", ref });
        const ticketed = old.call("deploy_service", args("main"), {
          timeoutMs: 60_000,
          onProgress: ({ message }) => messages.push(message ?? ""),
        });
        const inRounds = modern.call("deploy_service", args("rounds"), { timeoutMs: 60_000 });
        for (const call of [ticketed, inRounds]) call.catch(() => undefined);
        const task = await tasks.start("deploy_service", args("task"));
        const call = await ticketed;
        const took = Date.now() - asked;
        expect(call.data).toMatchObject({ status: "pending" });
        expect(took).toBeGreaterThan(39_000);
        expect(took).toBeLessThan(55_000);
        // Progress every 10 to 15 s keeps hosts that reset their limit on it.
        expect(messages.filter((line) => line.includes("waiting for people")).length).toBeGreaterThanOrEqual(
          3,
        );
        const ticket = String(call.data["ticket"]);
        const round = home.asked().find(({ request }) => request !== ticket && request !== task.taskId);
        expect(home.asked()).toHaveLength(3);
        // Past the 60 s that the SDKs allow a call.
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, 62_000 - (Date.now() - asked))));
        expect(home.outside()).toBe(before);
        expect((await home.approve(String(round?.request))).code).toBe(0);
        expect((await inRounds).data).toMatchObject({ status: "done", requestId: round?.request });
        await home.deny(task.taskId, "one release a day is enough");
        expect(await task.settled).toMatchObject({
          isError: true,
          data: { code: "denied_by_person", reason: "one release a day is enough" },
        });
        // Another deployment changed the place: what was approved is not what would run now.
        const waiting = old.call("countersign_wait", { ticket }, { timeoutMs: 60_000 });
        await home.approve(ticket);
        expect((await waiting).data).toMatchObject({ status: "refused", code: "stale" });
      } finally {
        await Promise.all([old.close(), modern.close(), tasks.close()]);
        await gateway.stop();
        await home.close();
      }
    },
  );
});
