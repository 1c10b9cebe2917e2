import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readSurroundings } from "../../src/config/environment.ts";
import type { Statement } from "../../src/consent/statement.ts";
import type { Entry } from "../../src/log/entry.ts";
import { eventually } from "./client-matrix.ts";
import { makeGitSource, type GitSource } from "./git-source.ts";
import type { Endpoint } from "./mcp-clients.ts";
import { missingSshKeygen } from "./ssh-signing.ts";
import { snapshotDirectory } from "./snapshot.ts";

// A home as an operator has it, and the bundled command as a host, a person or a service manager starts it. Nothing
// here imports the gate: what these tests see of countersign is its processes, ports, files and exit codes.

export const PROGRAM = fileURLToPath(new URL("../../dist/countersign.js", import.meta.url));

/** Why the main job can't be played here; null where it can. A machine that must have every target fails instead. */
export const missingForMain = (): string | null => {
  if (!existsSync(PROGRAM)) throw new Error("dist/countersign.js is missing: node scripts/build.mjs");
  return missingSshKeygen(process.env["COUNTERSIGN_TARGETS"]);
};

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly cwd?: string;
  /** Program and arguments to put before node, such as faketime. */
  readonly before?: readonly string[];
}

export interface RunningGateway {
  readonly process: ChildProcess;
  readonly mcp: string;
  readonly api: string;
  readonly said: () => string;
  readonly exited: Promise<number | null>;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface Pending {
  readonly request: string;
  readonly code: string;
}

export interface ApiRequest {
  readonly id: string;
  readonly phase: string;
  readonly code: string | null;
  readonly reasonCode: string | null;
  readonly newestSeq: number;
}

export type Approver = "ben" | "chi";

export interface RealHome {
  readonly root: string;
  readonly home: string;
  readonly source: GitSource;
  readonly releases: string;
  readonly env: Readonly<Record<string, string>>;
  run(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** `countersign start`; resolves when it says where it listens. */
  start(options?: RunOptions & { readonly hold?: string }): Promise<RunningGateway>;
  /** How a host starts the stdio command. */
  stdio(hold?: string): Endpoint & { readonly kind: "stdio" };
  http(gateway: RunningGateway): Endpoint & { readonly kind: "http" };
  /** What waits, as the command line tells it. */
  pending(): Promise<readonly Pending[]>;
  /** What waits, as the log's file has it: cheap enough to look at again and again. */
  asked(): readonly Pending[];
  /** Waits until something is asked that is not among `known`. */
  nextPending(known?: readonly string[]): Promise<Pending>;
  approve(request: string, who?: Approver, options?: RunOptions & { readonly code?: string }): Promise<Ran>;
  deny(request: string, words: string, who?: Approver): Promise<Ran>;
  /** Requests as the API tells them. */
  list(gateway: RunningGateway): Promise<readonly ApiRequest[]>;
  /** Signs the API's draft with ssh-keygen and hands it in. */
  approveByApi(gateway: RunningGateway, request: string, who?: Approver): Promise<Response>;
  api(gateway: RunningGateway, path: string, body?: unknown): Promise<Response>;
  /** Every file of the service, of its source and of the home, but for the gateway's own data. */
  outside(): string;
  current(): string | null;
  /** Releases on disk and the commit each was made from. */
  releasesOf(commit: string): readonly string[];
  /** What the registered commands were run for: `check <release>`, `health <release>`, … */
  commandRuns(): readonly string[];
  entries(): readonly Entry[];
  verify(...args: readonly string[]): Promise<Ran>;
  /** @throws where the log does not verify, with what was found */
  demandVerified(): Promise<void>;
  close(): Promise<void>;
}

export interface RealHomeOptions {
  readonly policy?: (facts: PolicyFacts) => string;
  /** More lines of countersign.yaml. */
  readonly config?: string;
  readonly hold?: string;
  /** Rounds that clients of 2026-07-28 are asked for before the ticket; none where it isn't said. */
  readonly rounds?: number;
  /** What the health command does besides noting that it ran. */
  readonly health?: string;
}

export interface PolicyFacts {
  readonly account: string;
  readonly ben: string;
  readonly chi: string;
}

export const defaultPolicy = ({ account, ben, chi }: PolicyFacts): string => `version: 1
people:
  ana: { name: Ana Ruiz, os: ["${account}"] }
  ben: { name: Ben Oduya, ssh: ["${ben}"] }
  chi: { name: Chi Tran, ssh: ["${chi}"] }
groups: { sre: [ben, chi] }
agents: { claude: { owners: [ana] } }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }
policy_change: { by: [sre], quorum: 2, assurance: A2 }
rules:
  - id: releases-need-a-person
    match: { tool: deploy_service, environment: prod }
    verdict: hold
    because: every release is looked at
  - id: the-lab-is-free
    match: { tool: deploy_service, environment: lab }
    verdict: allow
`;

/** Makes a home by `countersign init`, with a real repository, release roots and keys. */
export async function openRealHome(options: RealHomeOptions = {}): Promise<RealHome> {
  // Owner of a release root is checked by its real path.
  const root = realpathSync(mkdtempSync(join(tmpdir(), "countersign-main-")));
  const [home, user, releases, lab] = ["home", "user", "srv", "lab"].map((name) => join(root, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const dir of [home, user, releases, lab, join(user, "keys")]) mkdirSync(dir, { mode: 0o700 });
  const source = makeGitSource(root);
  source.commit({ "index.html": "<p>first</p>\n", "bin/serve": { script: "#!/bin/sh\nexit 0\n" } }, "first");
  const runs = join(root, "command-runs");
  const command = join(root, "command.sh");
  writeFileSync(
    command,
    `#!/bin/sh\necho "$RELEASE_PHASE $RELEASE_ID" >> ${runs}\n${options.health ?? ""}\nexit 0\n`,
  );
  chmodSync(command, 0o755);
  const key = (who: Approver): string => join(user, "keys", who);
  const fingerprint = (who: Approver): string => {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", who, "-f", key(who)]);
    const said = execFileSync("ssh-keygen", ["-lf", `${key(who)}.pub`]).toString();
    return /SHA256:\S+/.exec(said)?.[0] ?? said;
  };
  const facts = { account: readSurroundings().account, ben: fingerprint("ben"), chi: fingerprint("chi") };
  const service = (environment: string, at: string): string =>
    JSON.stringify({
      repository: source.dir,
      environment,
      releases: at,
      keep: 100,
      refs: ["*", "**"],
      check: { run: [command], timeout: "20s" },
      health: { run: [command], timeout: "20s" },
    });
  const tokens = { mcp: randomBytes(32).toString("base64url"), api: randomBytes(32).toString("base64url") };
  const write = (name: string, text: string): void => writeFileSync(join(home, name), text, { mode: 0o600 });
  mkdirSync(join(home, "data", "keys"), { recursive: true, mode: 0o700 });
  write(
    "countersign.yaml",
    `version: 1
policy: policy.yaml
isolation: none
listeners: { mcp: "127.0.0.1:0", api: "localhost:0" }
stdio: { agent: claude }
hold: { default: ${options.hold ?? "40s"}, rounds: ${options.rounds ?? 0} }
clients:
  - { name: local, agent: claude, principal: ana, token_sha256: ${sha256(`csm_${tokens.mcp}`)} }
services:
  web: ${service("prod", releases)}
  lab: ${service("lab", lab)}
${options.config ?? "limits: { previews_per_hour: 100000, held_per_minute: 100000, open_requests: 1000, previews_at_once: 8 }"}
`,
  );
  write("policy.yaml", (options.policy ?? defaultPolicy)(facts));
  write("data/keys/mcp.token", `csm_${tokens.mcp}\n`);
  write("data/keys/api.token", `csa_${tokens.api}\n`);

  const env = { PATH: process.env["PATH"] ?? "", HOME: user, USER: "ana", NO_COLOR: "1", LC_ALL: "C.UTF-8" };
  const children = new Set<ChildProcess>();
  const launch = (args: readonly string[], more: RunOptions): ChildProcess => {
    const words = [...(more.before ?? []), process.execPath, PROGRAM, ...args];
    const child = spawn(words[0] as string, words.slice(1), {
      cwd: more.cwd ?? root,
      env: { ...env, ...more.env },
      stdio: "pipe",
    });
    children.add(child);
    child.once("exit", () => children.delete(child));
    child.stdin?.on("error", () => undefined);
    return child;
  };
  const run: RealHome["run"] = (args, more = {}) =>
    new Promise((resolve, reject) => {
      const child = launch(args, more);
      let [out, err] = ["", ""];
      child.stdout?.on("data", (chunk) => (out += String(chunk)));
      child.stderr?.on("data", (chunk) => (err += String(chunk)));
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new Error(`countersign ${args.join(" ")} took too long:\n${out}\n${err}`));
      }, more.timeoutMs ?? 60_000);
      child.once("error", reject);
      child.once("close", (code) => {
        clearTimeout(timer);
        resolve({ code, out, err });
      });
      child.stdin?.end(more.input ?? "");
    });
  const at = ["--home", home];
  const made = await run([...at, "init"]);
  if (made.code !== 0) throw new Error(`init failed:\n${made.out}\n${made.err}`);

  const api: RealHome["api"] = (gateway, path, body) =>
    fetch(`${gateway.api}/api/v1${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer csa_${tokens.api}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const pending: RealHome["pending"] = async () => {
    const said = await run([...at, "pending", "--json"]);
    if (said.code !== 0) throw new Error(`pending failed: ${said.err}`);
    return JSON.parse(said.out) as Pending[];
  };
  const entries = (): Entry[] => {
    const dir = join(home, "data", "log");
    return readdirSync(dir)
      .filter((name) => name.endsWith(".jsonl"))
      .sort()
      .flatMap((name) => readFileSync(join(dir, name), "utf8").split("\n").slice(0, -1))
      .map((line) => JSON.parse(line) as Entry);
  };
  const asked = (): readonly Pending[] => {
    const open = new Map<string, string>();
    for (const entry of entries()) {
      if (entry.kind === "consent.asked") open.set(entry.subject, entry.data.code);
      else if (/^(consent\.settled|request\.(withdrawn|expired|stale|refused))$/.test(entry.kind))
        open.delete(entry.subject);
    }
    return [...open].map(([request, code]) => ({ request, code }));
  };
  const codeOf = (request: string): Promise<string> =>
    eventually(() => Promise.resolve(asked().find((one) => one.request === request)?.code));
  return {
    root,
    home,
    source,
    releases,
    env,
    run,
    start: async (more = {}) => {
      const hold = more.hold === undefined ? [] : ["--hold", more.hold];
      const child = launch([...at, "start", ...hold], more);
      let said = "";
      child.stdout?.on("data", (chunk) => (said += String(chunk)));
      child.stderr?.on("data", (chunk) => (said += String(chunk)));
      let code: number | null | undefined;
      const exited = new Promise<number | null>((resolve) =>
        child.once("exit", (status) => {
          code = status;
          resolve(status);
        }),
      );
      const at7 = await eventually(() => {
        if (code !== undefined) throw new Error(`the gateway ended with ${String(code)}:\n${said}`);
        const found = /agents\s+(\S+)[^]*people\s+(\S+)[^]*Ctrl-C/.exec(said);
        return Promise.resolve(found === null ? undefined : found);
      });
      return {
        process: child,
        mcp: at7[1] as string,
        api: at7[2] as string,
        said: () => said,
        exited,
        stop(signal = "SIGTERM") {
          child.kill(signal);
          return exited;
        },
      };
    },
    stdio: (hold) => ({
      kind: "stdio",
      command: process.execPath,
      args: [PROGRAM, "mcp", "--home", home, ...(hold === undefined ? [] : ["--hold", hold])],
      env,
    }),
    http: (gateway) => ({ kind: "http", url: gateway.mcp, token: `csm_${tokens.mcp}` }),
    pending,
    asked,
    nextPending: (known = []) =>
      eventually(() => Promise.resolve(asked().find((one) => !known.includes(one.request)))),
    async approve(request, who = "ben", more = {}) {
      const code = more.code ?? (await codeOf(request));
      return run([...at, "approve", request, "--key", key(who), "--yes", "--code", code], more);
    },
    deny: (request, words, who = "ben") =>
      run([...at, "deny", request, "--key", key(who), "--reason", words]),
    async list(gateway) {
      const answer = await api(gateway, "/requests?limit=1000");
      return ((await answer.json()) as { requests: ApiRequest[] }).requests;
    },
    async approveByApi(gateway, request, who = "ben") {
      const drafted = await api(gateway, `/requests/${request}/draft?person=${who}&decision=approve`);
      const { statement, sign } = (await drafted.json()) as {
        statement: Statement;
        sign: { namespace: string; bytes: string };
      };
      const signature = execFileSync(
        "ssh-keygen",
        ["-Y", "sign", "-q", "-f", key(who), "-n", sign.namespace],
        { input: Buffer.from(sign.bytes, "base64"), stdio: ["pipe", "pipe", "ignore"] },
      ).toString();
      return api(gateway, `/requests/${request}/decisions`, {
        statement,
        proof: { kind: "sshsig", signature },
      });
    },
    api,
    // Read while nothing else happens; the gateway's data and what the command line remembers are its own.
    outside: () =>
      snapshotDirectory(
        root,
        (path) => path === "home/data" || path === "user/.local" || path === "user/.npm",
      ),
    current() {
      try {
        return readlinkSync(join(releases, "current"));
      } catch {
        return null;
      }
    },
    releasesOf: (commit) =>
      existsSync(join(releases, "releases"))
        ? readdirSync(join(releases, "releases")).filter(
            (name) => name.includes(commit.slice(0, 12)) && !name.endsWith(".json"),
          )
        : [],
    commandRuns: () => (existsSync(runs) ? readFileSync(runs, "utf8").trimEnd().split("\n") : []),
    entries,
    verify: (...args) => run([...at, "log", "verify", ...args]),
    async demandVerified() {
      const said = await run([...at, "log", "verify"]);
      if (said.code !== 0) throw new Error(`the log does not verify:\n${said.out}${said.err}`);
      const replayed = await run([...at, "log", "replay", "--all", "--json"]);
      const counted = JSON.parse(replayed.out || "{}") as { verdicts?: number; equal?: number };
      if (replayed.code !== 0 || counted.equal !== counted.verdicts)
        throw new Error(`not every verdict is derived again:\n${replayed.out}${replayed.err}`);
    },
    async close() {
      const ends = [...children].map((child) => once(child, "exit"));
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(ends);
      rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
