import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { eventually } from "../support/client-matrix.ts";
import { CLIENT_KINDS, type Endpoint, type TestClient } from "../support/mcp-clients.ts";
import { missingForMain, openRealHome, type RealHome, type RunningGateway } from "../support/real-gateway.ts";

// Several processes in one home, and any of them killed at any point: never twice, nothing lost.

const missing = missingForMain();
const stdioClient = CLIENT_KINDS.find((kind) => kind.over === "stdio" && kind.era === "modern");
if (stdioClient === undefined) throw new Error("no modern stdio client");
const args = { service: "web", ref: "main", justification: "two agents want the same" };

describe.skipIf(missing !== null)(missing ?? "several processes in one home", () => {
  let home: RealHome;
  const clients: TestClient[] = [];
  const connect = async (endpoint: Endpoint): Promise<TestClient> => {
    const client = await stdioClient.connect(endpoint);
    clients.push(client);
    return client;
  };
  afterEach(async () => {
    await Promise.allSettled(clients.splice(0).map((client) => client.close()));
    await home.close();
  });

  const phaseOf = async (request: string): Promise<string> => {
    const said = await home.run(["--home", home.home, "requests", "--json"]);
    return (
      (JSON.parse(said.out) as { id: string; phase: string }[]).find((one) => one.id === request)?.phase ?? ""
    );
  };
  const settled = (request: string): Promise<string> =>
    eventually(async () => {
      const phase = await phaseOf(request);
      return /^(done|failed|unknown|stale|refused|denied|expired|withdrawn)$/.test(phase) ? phase : undefined;
    });
  const dispatchesOf = (request: string): number =>
    home.entries().filter((entry) => entry.subject === request && entry.kind === "execution.dispatched")
      .length;
  const ticketOf = (data: Record<string, unknown>): string => String(data["ticket"] ?? data["requestId"]);
  const expectSound = async (): Promise<void> => {
    const verified = await home.verify();
    expect(verified.out + verified.err).toContain("the log is what was signed");
    expect(verified.code).toBe(0);
    await home.demandVerified();
  };

  test.each([
    ["two shims behind one gateway", true],
    ["two gateways on one data directory", false],
  ])(
    "the same call over %s is one request, and an approval from the command line runs it once",
    async (_, served) => {
      home = await openRealHome({ hold: "20s" });
      if (served) await home.start();
      const [first, second] = [await connect(home.stdio()), await connect(home.stdio())];
      const calls = [first.call("deploy_service", args), second.call("deploy_service", args)];
      const { request } = await home.nextPending();
      // Both callers are attached by now, or find the request when they get there.
      expect((await home.pending()).length).toBe(1);
      expect((await home.approve(request)).code).toBe(0);
      for (const answer of await Promise.all(calls)) {
        expect(answer.data).toMatchObject({ status: "done", requestId: request });
      }
      expect(home.entries().filter((entry) => entry.kind === "request.received")).toHaveLength(1);
      expect(home.commandRuns().filter((line) => line.startsWith("check "))).toHaveLength(1);
      expect(dispatchesOf(request)).toBe(1);
      await expectSound();
    },
  );

  test("a gateway killed while a call is held loses nothing: the next one knows the ticket and runs it once", async () => {
    home = await openRealHome({ hold: "1s" });
    const gateway = await home.start();
    const client = await connect(home.stdio());
    const ticket = ticketOf((await client.call("deploy_service", args)).data);
    await gateway.stop("SIGKILL");
    expect((await home.pending()).map((one) => one.request)).toEqual([ticket]);
    await home.start();
    const again = await connect(home.stdio());
    expect(ticketOf((await again.call("deploy_service", args)).data)).toBe(ticket);
    expect((await home.approve(ticket)).code).toBe(0);
    expect(await settled(ticket)).toBe("done");
    expect((await again.call("countersign_wait", { ticket })).data).toMatchObject({ status: "done" });
    expect(home.commandRuns().filter((line) => line.startsWith("check "))).toHaveLength(1);
    await expectSound();
  });

  test("what is granted while no gateway lives runs once when the next one starts (G3)", async () => {
    home = await openRealHome({ hold: "1s" });
    const gateway = await home.start();
    const client = await connect(home.stdio());
    const ticket = ticketOf((await client.call("deploy_service", args)).data);
    await gateway.stop("SIGKILL");
    const before = home.outside();
    expect((await home.approve(ticket)).out).toContain("granted");
    expect(await phaseOf(ticket)).toBe("granted");
    expect(home.outside()).toBe(before);
    await home.start();
    expect(await settled(ticket)).toBe("done");
    expect(dispatchesOf(ticket)).toBe(1);
    expect(home.commandRuns().filter((line) => line.startsWith("check "))).toHaveLength(1);
    await expectSound();
  });

  test.each([
    ["before the switch", "check", "failed"],
    ["after the switch", "health", "done"],
  ])(
    "a gateway killed while it runs, %s: what became of it is found out by looking, and nothing runs again (X2)",
    async (_, phase, outcome) => {
      home = await openRealHome({ hold: "1s" });
      // The command of that phase takes its time; when it is there, the gateway dies.
      const script = join(home.root, "command.sh");
      const marker = join(home.root, "reached");
      writeFileSync(
        script,
        `#!/bin/sh\necho "$RELEASE_PHASE $RELEASE_ID" >> ${join(home.root, "command-runs")}\n[ "$RELEASE_PHASE" = ${phase} ] && { : > ${marker}; sleep 2; }\nexit 0\n`,
      );
      let gateway: RunningGateway = await home.start();
      const client = await connect(home.stdio());
      const ticket = ticketOf((await client.call("deploy_service", args)).data);
      expect((await home.approve(ticket)).code).toBe(0);
      await eventually(() => Promise.resolve(existsSync(marker) || undefined));
      await gateway.stop("SIGKILL");
      expect(await phaseOf(ticket)).toBe("dispatched");
      gateway = await home.start();
      expect(await settled(ticket)).toBe(outcome);
      const again = await connect(home.stdio());
      const answer = await again.call("countersign_wait", { ticket });
      expect(answer.data).toMatchObject({ status: outcome, requestId: ticket });
      expect(dispatchesOf(ticket)).toBe(1);
      expect(home.commandRuns().filter((line) => line.startsWith("check "))).toHaveLength(1);
      expect(home.current() === null).toBe(outcome === "failed");
      await expectSound();
    },
  );

  test("a stdio gateway killed while its call is held leaves the request to the next process", async () => {
    home = await openRealHome({ hold: "20s" });
    const pid = join(home.root, "pid");
    const { command, args: words } = home.stdio();
    const client = await connect({
      ...home.stdio(),
      command: "/bin/sh",
      args: ["-c", `echo $$ > ${pid}; exec "$0" "$@"`, command, ...words],
    });
    const call = client.call("deploy_service", args);
    call.catch(() => undefined);
    const { request } = await home.nextPending();
    const { readFileSync } = await import("node:fs");
    process.kill(Number(readFileSync(pid, "utf8")), "SIGKILL");
    await expect(call).rejects.toThrow();
    expect((await home.approve(request)).code).toBe(0);
    const next = await connect(home.stdio());
    // The same call again, from a host that knows nothing of a ticket.
    expect((await next.call("deploy_service", args)).data).toMatchObject({
      status: "done",
      requestId: request,
    });
    expect(home.commandRuns().filter((line) => line.startsWith("check "))).toHaveLength(1);
    await expectSound();
  });
});
