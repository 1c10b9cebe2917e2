import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/client-matrix.ts";
import { CLIENT_KINDS } from "../support/mcp-clients.ts";
import {
  missingForMain,
  openRealHome,
  type Pending,
  type Ran,
  type RealHome,
} from "../support/real-gateway.ts";

// What README and operating.md tell a new user to type, typed: each step goes on from the one before.

const missing = missingForMain();
const kind = CLIENT_KINDS.find((one) => one.name === "v1 SDK over stdio") as (typeof CLIENT_KINDS)[number];

describe.skipIf(missing !== null)(missing ?? "a new user, from init to receipt", () => {
  // Only for its repository, keys and processes; the home of this story is made by init's own flags.
  let world: RealHome;
  let home: string;
  let ana: string;
  const ben = (): string => join(world.root, "user", "keys", "ben");
  const countersign = (...args: string[]): Promise<Ran> => world.run(["--home", home, ...args]);
  beforeAll(async () => {
    world = await openRealHome();
    home = join(world.root, "made");
    const ssh = join(world.root, "user", ".ssh");
    mkdirSync(ssh, { mode: 0o700 });
    mkdirSync(join(world.root, "made-srv"), { mode: 0o700 });
    ana = join(ssh, "id_ed25519");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", ana]);
  });
  afterAll(() => world.close());

  let logKey = "";
  test("init answers by flags, and makes a home once", async () => {
    const flags = ["init", "--yes", "--person", "ana", "--key", ana, "--agent", "claude-desktop", "--team"];
    const incomplete = await countersign(...flags);
    expect([incomplete.code, incomplete.err]).toEqual([2, expect.stringContaining("--approver is missing")]);
    const all = [
      ...flags,
      "--approver",
      `ben=${ben()}.pub`,
      "--service",
      "web",
      "--repository",
      world.source.dir,
    ];
    const made = await countersign(
      ...all,
      "--environment",
      "prod",
      "--releases",
      join(world.root, "made-srv"),
    );
    expect([made.code, made.err]).toEqual([0, ""]);
    logKey = /^ {2}(countersign\.dev\/\S+)$/m.exec(made.out)?.[1] ?? "";
    expect(logKey).not.toBe("");
    const again = await countersign(...all, "--environment", "prod", "--releases", "/srv/x");
    expect([again.code, again.err]).toEqual([1, expect.stringContaining("(LOG_EXISTS)")]);
    const config = join(home, "countersign.yaml");
    writeFileSync(
      config,
      readFileSync(config, "utf8")
        .replace("127.0.0.1:7331", "127.0.0.1:0")
        .replace("localhost:7332", "localhost:0"),
    );
    expect((await countersign("policy", "check")).code).toBe(0);
    expect((await countersign("policy", "test")).out).toContain("1 of 1 passed");
  });

  let request = "";
  test("a registered host's call waits; its owner can't approve it; a colleague signs elsewhere", async () => {
    const client = await kind.connect({
      ...world.stdio(),
      args: [world.stdio().args[0] as string, "mcp", "--home", home, "--agent", "claude-desktop"],
    });
    try {
      const call = client.call("deploy_service", { service: "web", ref: "main", justification: "go live" });
      const one = await eventually(
        async () => (JSON.parse((await countersign("pending", "--json")).out) as Pending[])[0],
      );
      request = one.request;
      // ana's own key lies where ssh-keygen puts it and is found; it is her own agent's request (C1).
      const own = await countersign("approve", one.code, "--yes", "--code", one.code);
      expect([own.code, own.err]).toEqual([1, expect.stringContaining("self_approval")]);
      const wrong = await countersign("approve", one.code, "--key", ben(), "--yes", "--code", "AAAAAA");
      expect(wrong.code).not.toBe(0);

      const statement = join(world.root, "statement.txt");
      await countersign("approve", one.code, "--key", ben(), "--print-statement", statement);
      execFileSync(
        "ssh-keygen",
        ["-Y", "sign", "-q", "-n", "decision@countersign.dev", "-f", ben(), statement],
        {
          stdio: "ignore",
        },
      );
      const handed = await countersign("approve", one.code, "--signature", `${statement}.sig`);
      expect(handed.out).toContain(`granted ${one.code}`);
      expect((await call).data).toMatchObject({ status: "done", requestId: request });
      const replayed = await countersign("approve", one.code, "--signature", `${statement}.sig`);
      expect(replayed.code).toBe(1);
    } finally {
      await client.close();
    }
  });

  test("a receipt proves it to somebody with the key alone, and a changed one does not", async () => {
    const receipt = join(world.root, "r.json");
    expect((await countersign("log", "receipt", request, "-o", receipt)).code).toBe(0);
    const verified = await world.run(["verify", receipt, "--key", logKey]);
    expect([verified.code, verified.out]).toEqual([0, expect.stringContaining("proves what it says")]);
    expect(verified.out).toContain("decision    ben");
    const text = readFileSync(receipt, "utf8");
    writeFileSync(receipt, text.replace("self_approval", "self-approval"));
    expect((await world.run(["verify", receipt, "--key", logKey])).code).toBe(1);
    writeFileSync(receipt, text);
    const other = /countersign\.dev\/\S+/.exec((await world.verify()).out)?.[0] ?? "";
    expect((await world.run(["verify", receipt, "--key", other])).code).toBe(1);

    const verifiedLog = await countersign("log", "verify", "--key", logKey);
    expect([verifiedLog.code, verifiedLog.out]).toEqual([
      0,
      expect.stringContaining("the log is what was signed"),
    ]);
  });

  test("the API gives the same receipt", async () => {
    const gateway = await (async () => {
      const { spawn } = await import("node:child_process");
      const words = [world.stdio().args[0] as string, "--home", home, "start"];
      const child = spawn(world.stdio().command, words, {
        env: world.env,
        stdio: ["ignore", "pipe", "inherit"],
      });
      let said = "";
      child.stdout.on("data", (chunk) => (said += String(chunk)));
      const api = await eventually(() => Promise.resolve(/people\s+(\S+)[^]*Ctrl-C/.exec(said)?.[1]));
      return { api, child };
    })();
    try {
      const token = readFileSync(join(home, "data", "keys", "api.token"), "utf8").trim();
      const answer = await fetch(`${gateway.api}/api/v1/requests/${request}/receipt`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect(answer.status).toBe(200);
      const file = join(world.root, "api.json");
      writeFileSync(file, await answer.text());
      expect((await world.run(["verify", file, "--key", logKey])).code).toBe(0);
    } finally {
      gateway.child.kill("SIGTERM");
      await new Promise((resolve) => gateway.child.once("exit", resolve));
    }
  });

  test("a changed policy runs once the people that the old one names have signed it (P6)", async () => {
    const file = join(home, "policy.yaml");
    writeFileSync(
      file,
      readFileSync(file, "utf8").replace(
        "  - id: changes-need-a-person",
        "  - id: the-lab-is-free\n    match: { environment: lab }\n    verdict: allow\n  - id: changes-need-a-person",
      ),
    );
    const revision = /sha256:[0-9a-f]{64}/.exec((await countersign("policy", "check")).out)?.[0] ?? "";
    const sure = ["--yes", "--revision", revision];
    const alone = await countersign("policy", "adopt", ...sure);
    expect([alone.code, alone.err]).toEqual([1, expect.stringContaining("(ADOPTION_REFUSED)")]);
    // The hint is a command that exists.
    expect(alone.err).toContain("policy adopt --save");
    const saved = join(world.root, "ben.json");
    expect((await countersign("policy", "adopt", "--key", ben(), "--save", saved, ...sure)).code).toBe(0);
    const adopted = await countersign("policy", "adopt", "--with", saved, ...sure);
    expect([adopted.code, adopted.out]).toEqual([0, expect.stringContaining(`adopted ${revision}`)]);
    expect((await countersign("policy", "adopt", ...sure)).out).toContain("nothing to adopt");
    expect((await countersign("log", "verify", "--key", logKey)).code).toBe(0);
  });
});
