import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { eventually } from "../support/client-matrix.ts";
import { CLIENT_KINDS, type TestClient } from "../support/mcp-clients.ts";
import { missingForMain, openRealHome, type Ran, type RealHome } from "../support/real-gateway.ts";

// A home that somebody edited, restored, misconfigured, or that the machine fails: does the gateway say what is wrong,
// with a code and the next step, and refuse rather than guess?

const missing = missingForMain();
const required = process.env["COUNTERSIGN_TARGETS"] === "required";
const kind = CLIENT_KINDS.find(
  (one) => one.name === "v2 SDK, 2026-07-28, over stdio",
) as (typeof CLIENT_KINDS)[number];

/** Why the clock can't be turned here; null where it can. */
function missingFaketime(): string | null {
  try {
    execFileSync("faketime", ["-f", "-1h", "date"], { stdio: "ignore" });
    return null;
  } catch {
    if (required) throw new Error("faketime is missing and COUNTERSIGN_TARGETS=required");
    return "faketime is not installed";
  }
}
/** Why a small disk can't be made here; null where it can. */
function missingTmpfs(): string | null {
  const at = `/tmp/countersign-tmpfs-${process.pid}`;
  try {
    mkdirSync(at);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", at], { stdio: "ignore" });
    execFileSync("umount", [at]);
    return null;
  } catch {
    // A container without the right to mount is an ordinary place to test in.
    return "no right to mount a small disk here";
  } finally {
    rmSync(at, { recursive: true, force: true });
  }
}
const noFaketime = missingFaketime();
const noTmpfs = missingTmpfs();

describe.skipIf(missing !== null)(missing ?? "a home that is not as it should be", () => {
  let home: RealHome;
  const clients: TestClient[] = [];
  afterEach(async () => {
    await Promise.allSettled(clients.splice(0).map((client) => client.close()));
    await home.close();
  });
  const connect = async (): Promise<TestClient> => {
    const client = await kind.connect(home.stdio());
    clients.push(client);
    return client;
  };
  /** A few decisions, so that there is something to lose. */
  const useHome = async (): Promise<void> => {
    const client = await connect();
    let { data } = await client.call("deploy_service", { service: "lab", ref: "main" });
    for (let i = 0; i < 20 && data["status"] === "pending"; i += 1) {
      ({ data } = await client.call("countersign_wait", { ticket: String(data["ticket"]) }));
    }
    expect(data).toMatchObject({ status: "done" });
    await client.close();
  };
  const start = (): Promise<Ran> => home.run(["--home", home.home, "start"], { timeoutMs: 20_000 });
  const segment = (): string => {
    const dir = join(home.home, "data", "log");
    return join(
      dir,
      readdirSync(dir)
        .filter((name) => name.endsWith(".jsonl"))
        .sort()
        .at(-1) as string,
    );
  };
  const refuses = async (code: string, exit: number): Promise<Ran> => {
    const said = await start();
    expect(said.err).toContain(`(${code})`);
    expect(said.err).toContain("hint:");
    expect(said.code).toBe(exit);
    return said;
  };

  test("a policy that does not load makes no home, and the place is named", async () => {
    await expect(
      openRealHome({ policy: () => "version: 1\npeople: {}\ngroups: {}\nrulez: []\n" }).then(
        (made) => (home = made),
      ),
    ).rejects.toThrow(/policy\.yaml:4:1.*rulez[^]*POLICY_INVALID|POLICY_INVALID[^]*policy\.yaml:4:1/);
    home = await openRealHome();
  });

  test("a policy file that stopped loading changes nothing that runs; check names the place (P6)", async () => {
    home = await openRealHome({ hold: "1s" });
    writeFileSync(join(home.home, "policy.yaml"), "version: 1\nrules: [}\n");
    const checked = await home.run(["policy", "check", join(home.home, "policy.yaml")]);
    expect(checked.code).toBe(1);
    expect(checked.out + checked.err).toMatch(/policy\.yaml:2:\d+/);
    const gateway = await home.start();
    await expect.poll(() => gateway.said(), { timeout: 10_000 }).toMatch(/policy/i);
    const client = await connect();
    expect((await client.call("deploy_service", { service: "web", ref: "main" })).data).toMatchObject({
      status: "pending",
    });
  });

  test("a configuration that does not load stops the start, with the place and exit code 2", async () => {
    home = await openRealHome();
    appendFileSync(join(home.home, "countersign.yaml"), "holdd: 3s\n");
    const said = await refuses("CONFIG_INVALID", 2);
    expect(said.err).toMatch(/countersign\.yaml:\d+:\d+.*holdd.*did you mean/);
  });

  test("a log that lost its end is refused (LOG_ROLLED_BACK)", async () => {
    home = await openRealHome();
    await useHome();
    const lines = readFileSync(segment(), "utf8").split("\n");
    writeFileSync(segment(), `${lines.slice(0, -4).join("\n")}\n`);
    rmSync(join(home.home, "data", "state.json"), { force: true });
    await refuses("LOG_ROLLED_BACK", 1);
    expect((await home.verify()).code).toBe(1);
  });

  test("a log in which one word was changed: verify names the entry, and replaying it is refused", async () => {
    home = await openRealHome();
    await useHome();
    const lines = readFileSync(segment(), "utf8").split("\n");
    const at = lines.findIndex((line) => line.includes('"lab"'));
    lines[at] = (lines[at] as string).replace('"lab"', '"web"');
    writeFileSync(segment(), lines.join("\n"));
    const verified = await home.verify();
    expect(verified.code).toBe(1);
    expect(verified.out + verified.err).toMatch(/is not what was signed/);
    // A start goes on from its own snapshot, sealed with a key of the log, and believes no changed line before it;
    // without one it has to read them.
    rmSync(join(home.home, "data", "state.json"), { force: true });
    const said = await start();
    expect(said.code).toBe(1);
    expect(said.err).toMatch(/\(LOG_(CORRUPT|ROLLED_BACK)\)/);
    expect(said.err).toContain("hint:");
  });

  test("an older copy of the whole home is a log that an approver who has seen more does not sign for (W2)", async () => {
    home = await openRealHome({ hold: "1s" });
    await useHome();
    const data = join(home.home, "data");
    const copy = join(home.root, "copy");
    cpSync(data, copy, { recursive: true });
    let client = await connect();
    const first = await client.call("deploy_service", { service: "web", ref: "main" });
    expect((await home.approve(String(first.data["ticket"]))).code).toBe(0);
    await client.close();
    rmSync(data, { recursive: true });
    cpSync(copy, data, { recursive: true });
    client = await connect();
    const again = await client.call("deploy_service", { service: "web", ref: "main" });
    const said = await home.approve(String(again.data["ticket"]));
    expect(said.code).toBe(1);
    expect(said.err).toContain("(LOG_ROLLED_BACK)");
    expect(home.current()).toBeNull();
  });

  test("a torn last line, as a killed writer leaves it, is cut off and nothing else is lost", async () => {
    home = await openRealHome();
    await useHome();
    const before = home.entries().length;
    appendFileSync(segment(), '{"v":1,"seq":99,"ti');
    const gateway = await home.start();
    await gateway.stop();
    expect(home.entries().length).toBeGreaterThanOrEqual(before);
    expect((await home.verify()).code).toBe(0);
  });

  test("another log's key is refused (LOG_KEY_MISMATCH), and so is a key that others can read", async () => {
    home = await openRealHome();
    const other = await openRealHome();
    try {
      const key = (at: RealHome): string => join(at.home, "data", "keys", "log.key");
      writeFileSync(key(home), readFileSync(key(other)), { mode: 0o600 });
      expect((await refuses("LOG_KEY_MISMATCH", 1)).out).not.toContain("serves");
      writeFileSync(key(home), readFileSync(key(other)));
      execFileSync("chmod", ["644", key(home)]);
      await refuses("HOME_INSECURE", 2);
    } finally {
      await other.close();
    }
  });

  test("a port that is taken is said, with the setting that moves it", async () => {
    home = await openRealHome();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const said = await home.run(["--home", home.home, "start", "--mcp", `127.0.0.1:${port}`]);
    server.close();
    expect(said.code).toBe(1);
    expect(said.err).toContain("(LISTEN_FAILED)");
    expect(said.err).toContain("listeners.mcp");
  });

  test("a second gateway on the same home is refused, and says where the first one listens", async () => {
    home = await openRealHome();
    const gateway = await home.start();
    const said = await refuses("STEWARD_BUSY", 1);
    expect(said.err).toContain(gateway.mcp);
  });

  test.skipIf(noTmpfs !== null)(
    `a full disk refuses new calls, keeps every answer that was given, and goes on when there is room ${noTmpfs ?? ""}`,
    async () => {
      home = await openRealHome({ hold: "1s", config: "limits: { min_free: 1KiB }" });
      const data = join(home.home, "data");
      const aside = join(home.root, "aside");
      cpSync(data, aside, { recursive: true });
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", data]);
      try {
        cpSync(aside, data, { recursive: true });
        const client = await connect();
        const held = await client.call("deploy_service", { service: "web", ref: "main" });
        expect(held.data).toMatchObject({ status: "pending" });
        const filler = join(data, "filler");
        execFileSync("sh", ["-c", `dd if=/dev/zero of=${filler} bs=4k count=4000 2>/dev/null || true`]);
        const refused = await client.call("deploy_service", { service: "lab", ref: "main" }).catch(String);
        expect(JSON.stringify(refused)).not.toContain('"done"');
        truncateSync(filler, 0);
        rmSync(filler);
        const ticket = String(held.data["ticket"]);
        const next = await connect();
        expect((await next.call("countersign_wait", { ticket })).data).toMatchObject({
          status: "pending",
          ticket,
        });
        expect((await home.approve(ticket)).code).toBe(0);
        const done = await eventually(async () => {
          const { data: now } = await next.call("countersign_wait", { ticket });
          return now["status"] === "pending" ? undefined : now;
        });
        expect(done).toMatchObject({ status: "done" });
        expect((await home.verify()).code).toBe(0);
      } finally {
        await Promise.allSettled(clients.splice(0).map((client) => client.close()));
        execFileSync("umount", ["-l", data]);
      }
    },
  );

  test.skipIf(noFaketime !== null)(
    `a clock an hour behind the log grants nothing and still takes a deny ${noFaketime ?? ""}`,
    async () => {
      home = await openRealHome({ hold: "1s" });
      const client = await connect();
      const held = await client.call("deploy_service", { service: "web", ref: "main" });
      const ticket = String(held.data["ticket"]);
      await client.close();
      const before = ["faketime", "-f", "-1h"];
      const approved = await home.approve(ticket, "ben", { before });
      expect(approved.code).toBe(1);
      expect(approved.out + approved.err).toContain("clock_behind");
      expect(home.current()).toBeNull();
      const denied = await home.run(
        ["--home", home.home, "deny", ticket, "--key", join(home.root, "user", "keys", "ben")],
        { before },
      );
      expect(denied.out).toContain("denied");
      expect((await home.verify()).code).toBe(0);
    },
  );
});
