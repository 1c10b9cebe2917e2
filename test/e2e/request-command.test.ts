import { execFile, spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newToken, tokenSha256 } from "../../src/base/token.ts";
import { eventually } from "../support/client-matrix.ts";
import {
  missingForMain,
  openRealHome,
  PROGRAM,
  type Ran,
  type RealHome,
  type RunningGateway,
} from "../support/real-gateway.ts";

// A job in a build server: the bundled command against a running gateway, over HTTP and by opening the home.

const missing = missingForMain();
/** The docs use them; a machine without skips that one test, unless it has to have everything. */
const lacksTools =
  process.env["COUNTERSIGN_TARGETS"] !== "required" &&
  ["curl", "jq"].some((tool) => spawnSync(tool, ["--version"]).error !== undefined);
const token = newToken("csa");
const reader = newToken("csa");

describe.skipIf(missing !== null)(missing ?? "countersign request", () => {
  let world: RealHome;
  let gateway: RunningGateway;
  let tokenFile: string;
  beforeAll(async () => {
    world = await openRealHome({
      config: `api:
  tokens:
    - { name: jenkins, token_sha256: ${tokenSha256(token)}, scopes: [requests:write], principal: ana, agent: claude }
    - { name: wall, token_sha256: ${tokenSha256(reader)}, scopes: [requests:read] }
limits: { previews_per_hour: 100000, held_per_minute: 100000, open_requests: 1000, previews_at_once: 8 }`,
    });
    tokenFile = join(world.root, "jenkins.token");
    writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
    gateway = await world.start();
  });
  afterAll(async () => {
    await gateway.stop();
    await world.close();
  });

  let count = 0;
  const commit = (): string =>
    world.source.commit({ "index.html": `<p>${(count += 1)}</p>\n` }, `job ${count}`);
  const words = (ref: string, id: string): string[] => [
    ...["request", "deploy_service", "--args", JSON.stringify({ service: "web", ref })],
    ...["--justification", "nightly", "--call-id", id],
  ];
  const overHttp = (): string[] => ["--url", gateway.api, "--token-file", tokenFile];
  const ask = (ref: string, id: string, ...more: string[]): Promise<Ran> =>
    world.run([...words(ref, id), ...overHttp(), ...more]);

  test("waits while a person decides, runs once, and the same call id runs nothing again", async () => {
    const ref = commit();
    const job = ask(ref, "nightly-1", "--wait", "--timeout", "60s");
    const { request } = await world.nextPending();
    expect((await world.approve(request)).code).toBe(0);
    const ended = await job;
    expect([ended.code, ended.out]).toEqual([0, expect.stringMatching(/^done {2}req_/)]);
    expect(ended.err).toMatch(/^[0-9A-Z]{6} {2}waiting for people: 0 of 1 approvals, until .*every release/m);
    expect(ended.err).toContain("see it: countersign show ");
    expect(world.releasesOf(ref)).toHaveLength(1);
    const again = await ask(ref, "nightly-1", "--wait", "--json");
    expect(again.code).toBe(0);
    expect(JSON.parse(again.out)).toMatchObject({ status: "done", request, repeats: expect.any(String) });
    expect(world.releasesOf(ref)).toHaveLength(1);
    const other = await ask(commit(), "nightly-1");
    expect([other.code, other.out]).toEqual([4, expect.stringContaining("key_reused")]);
  });

  test("Ctrl-C detaches and says how to come back; nothing is withdrawn", async () => {
    const known = world.asked().map(({ request }) => request);
    const ref = commit();
    const child = spawn(process.execPath, [PROGRAM, ...words(ref, "nightly-2"), ...overHttp(), "--wait"], {
      ...{ cwd: world.root, env: world.env, stdio: ["ignore", "pipe", "pipe"] },
    });
    let said = "";
    child.stderr.on("data", (chunk) => (said += String(chunk)));
    const code = new Promise<number | null>((resolve) => child.once("exit", resolve));
    const { request } = await world.nextPending(known);
    await eventually(() => Promise.resolve(said.includes("waiting for people") ? true : undefined));
    child.kill("SIGINT");
    expect(await code).toBe(130);
    expect(said).toContain("detached: the request goes on");
    expect(said).toContain("--call-id nightly-2 --wait");
    await world.approve(request);
    const back = await ask(ref, "nightly-2", "--wait");
    expect([back.code, back.out]).toEqual([0, expect.stringContaining(request)]);
    expect(world.releasesOf(ref)).toHaveLength(1);
  });

  test("the exit code tells how it ended", async () => {
    const ref = commit();
    const pending = await ask(ref, "nightly-3");
    expect([pending.code, pending.out]).toEqual([3, expect.stringMatching(/^pending {2}req_\w+ {2}code /)]);
    const late = await ask(ref, "nightly-3", "--wait", "--timeout", "1s", "--json");
    expect([late.code, JSON.parse(late.out)]).toMatchObject([3, { status: "pending" }]);
    const request = (JSON.parse(late.out) as { ticket: string }).ticket;
    await world.deny(request, "not in the freeze");
    const denied = await ask(ref, "nightly-3", "--wait");
    expect(denied.code).toBe(5);
    expect(denied.out).toContain('"not in the freeze"');
    const unknown = await world.run(["request", "drop_database", ...overHttp()]);
    expect([unknown.code, unknown.out]).toEqual([4, expect.stringContaining("unknown_tool")]);
    const failed = await ask("no-such-branch", "nightly-4", "--wait");
    expect(failed.code).toBe(4);
  });

  test("a token that is wrong, or may not ask, or would travel in the clear, asks nothing", async () => {
    const before = world.entries().length;
    const bad = join(world.root, "bad.token");
    writeFileSync(bad, "csa_somebody-elses-token-0000000\n");
    const stranger = await world.run([
      "request",
      "deploy_service",
      "--url",
      gateway.api,
      "--token-file",
      bad,
    ]);
    expect([stranger.code, stranger.err]).toEqual([1, expect.stringContaining("(GATEWAY_REFUSED)")]);
    const wall = await world.run(["request", "deploy_service", "--url", gateway.api], {
      env: { COUNTERSIGN_API_TOKEN: reader },
    });
    expect([wall.code, wall.err]).toEqual([1, expect.stringContaining("requests:write")]);
    const clear = await world.run([
      ...["request", "deploy_service", "--url", "http://gateway.example:7332", "--token-file", tokenFile],
    ]);
    expect([clear.code, clear.err]).toEqual([2, expect.stringContaining("in the clear")]);
    const none = await world.run(["request", "deploy_service", "--url", gateway.api]);
    expect([none.code, none.err]).toEqual([2, expect.stringContaining("takes a token")]);
    const args = await world.run(["request", "deploy_service", "--args", "[1]", ...overHttp()]);
    expect([args.code, args.err]).toEqual([2, expect.stringContaining("a JSON object")]);
    expect(world.entries().length).toBe(before);
  });

  test("arguments come from standard input, and the address from the home where a gateway serves it", async () => {
    const ref = commit();
    const asked = await world.run(
      [
        "--home",
        world.home,
        "request",
        "deploy_service",
        "--args",
        "-",
        "--call-id",
        "stdin-1",
        "--token-file",
        tokenFile,
      ],
      { input: JSON.stringify({ service: "lab", ref }) },
    );
    // The lab is free: with no wait it may still be running.
    expect([0, 3]).toContain(asked.code);
    const ended = await world.run(
      [
        "--home",
        world.home,
        "request",
        "deploy_service",
        "--args",
        "-",
        "--call-id",
        "stdin-1",
        "--token-file",
        tokenFile,
        "--wait",
      ],
      { input: JSON.stringify({ service: "lab", ref }) },
    );
    expect([ended.code, ended.out]).toEqual([0, expect.stringContaining("done")]);
  });

  test("examples/jenkins/deploy.sh deploys once, however often the job is started, and stops at a no", async () => {
    const job = (ref: string, tag: string): Promise<Ran> =>
      new Promise((resolve) => {
        const child = spawn("sh", [join(import.meta.dirname, "../../examples/jenkins/deploy.sh")], {
          env: {
            ...world.env,
            ...{ COUNTERSIGN: `${process.execPath} ${PROGRAM}`, COUNTERSIGN_API_URL: gateway.api },
            ...{ COUNTERSIGN_API_TOKEN: token, SERVICE: "web", REF: ref, BUILD_TAG: tag, TIMEOUT: "60s" },
          },
        });
        const ran = { out: "", err: "" };
        child.stdout.on("data", (chunk) => (ran.out += String(chunk)));
        child.stderr.on("data", (chunk) => (ran.err += String(chunk)));
        child.once("close", (code) => resolve({ ...ran, code }));
      });
    const known = world.asked().map(({ request }) => request);
    const ref = commit();
    const both = [job(ref, "build-7"), job(ref, "build-7")];
    await world.approve((await world.nextPending(known)).request);
    for (const ended of await Promise.all([...both, job(ref, "build-7")])) {
      expect([ended.code, ended.out]).toEqual([0, expect.stringContaining(`Deployed ${ref} to web.`)]);
    }
    expect(world.releasesOf(ref)).toHaveLength(1);
    const seen = world.asked().map(({ request }) => request);
    const next = job(commit(), "build-8");
    await world.deny((await world.nextPending(seen)).request, "freeze");
    expect(await next).toMatchObject({ code: 5, err: expect.stringContaining("A person said no") });
    expect((await job('x","service":"lab', "build-9")).code).toBe(2);
  });

  test("what docs/api.md says to type decides a request", async (context) => {
    if (lacksTools) return context.skip("curl or jq is not installed");
    const text = readFileSync(join(import.meta.dirname, "../../docs/api.md"), "utf8");
    const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((block) => block[1] ?? "");
    const reading = blocks.find((block) => block.includes("get()")) ?? "";
    const deciding = blocks.find((block) => block.includes("ssh-keygen")) ?? "";
    const known = world.asked().map(({ request }) => request);
    await ask(commit(), "docs-1");
    const { code, request } = await world.nextPending(known);
    const dir = join(world.root, "docs");
    mkdirSync(join(dir, "data", "keys"), { recursive: true });
    copyFileSync(join(world.home, "data", "keys", "api.token"), join(dir, "data", "keys", "api.token"));
    const setup = reading.slice(0, reading.indexOf("\nget '"));
    const script = `set -eu\n${setup}\n${deciding}\nget '/requests?phase=held&limit=20'\nget /policy\n`
      .replaceAll("8K2M4Q", code)
      .replaceAll("http://localhost:7332", gateway.api)
      .replaceAll("~/.ssh/id_ed25519", join(world.root, "user", "keys", "ben"));
    const { stdout } = await promisify(execFile)("sh", ["-c", script], { cwd: dir, env: world.env });
    expect(stdout).toContain('"state":"granted"');
    expect(stdout).toContain('"text":"version: 1');
    await eventually(async () =>
      (await world.list(gateway)).find((one) => one.id === request && one.phase === "done"),
    );
  });

  test("the gateway verifies its own log in a thread of its own, and says so", async () => {
    const looked = await eventually(async () => {
      const state = (await (await world.api(gateway, "/log/verification")).json()) as { last: unknown };
      return state.last === null ? undefined : state;
    });
    expect(looked).toMatchObject({ last: { state: "ok", error: null } });
    expect((looked.last as { size: number }).size).toBeGreaterThan(1);
  });

  test("without a token it opens the home as this account, also where no gateway runs", async () => {
    await gateway.stop();
    const ref = commit();
    const known = world.asked().map(({ request }) => request);
    const job = world.run(["--home", world.home, ...words(ref, "nightly-5"), "--wait", "--timeout", "60s"]);
    const { request } = await world.nextPending(known);
    await world.approve(request);
    const ended = await job;
    expect([ended.code, ended.out]).toEqual([0, expect.stringContaining(request)]);
    expect(world.releasesOf(ref)).toHaveLength(1);
    await world.demandVerified();
    const nobody = await ask(ref, "nightly-6");
    expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining("(GATEWAY_UNREACHABLE)")]);
  });
});
