import { spawn, type ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createApprover } from "./approver.ts";
import { startTokenProxy } from "./token-proxy.ts";

// A gateway as an operator starts it, in a home of its own, in front of one server, with one client that has a token and
// one person who approves.

const PROGRAM = fileURLToPath(new URL("../../dist/countersign.js", import.meta.url));

export interface RunningGateway {
  /** Through the proxy that adds the token. */
  readonly url: string;
  close(): Promise<void>;
}

const policyOf = (ben: string): string => `version: 1
people:
  ana: { name: Ana Ruiz, oidc: { issuer: "https://idp.example.com", subject: ana } }
  ben: { name: Ben Oduya, ssh: ["${ben}"] }
groups: { sre: [ben] }
agents: { suite: { owners: [ana] } }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }
rules:
  - id: the-lab-is-free
    match: { environment: lab }
    verdict: allow
  - id: jobs-need-a-person
    match: { tool: [slow_compute, failing_job, protocol_error_job, confirm_delete, multi_input] }
    verdict: hold
`;

/** The suite calls more in a second than an agent may in a minute. */
const LIMITS =
  "{ held_per_minute: 100000, reads_per_minute: 100000, open_requests: 1000, previews_per_hour: 100000, previews_at_once: 8 }";

const configOf = (upstream: string, token: string): string => `version: 1
policy: policy.yaml
isolation: none
listeners: { mcp: "127.0.0.1:0", api: "localhost:0" }
hold: 4s
limits: ${LIMITS}
upstreams:
  fixture: { url: "${upstream}", environment: lab, vouch: true, prefix: none, resources: true }
clients:
  - { name: suite, agent: suite, principal: ana, token_sha256: ${createHash("sha256").update(token).digest("hex")} }
`;

/** Starts a gateway in front of the server at `upstream`. */
export async function startGateway(upstream: string): Promise<RunningGateway> {
  if (!existsSync(PROGRAM)) throw new Error("dist/countersign.js is missing: node scripts/build.mjs");
  const root = mkdtempSync(join(tmpdir(), "countersign-conformance-"));
  const home = join(root, "home");
  const tokens = { mcp: `csm_${random()}`, api: `csa_${random()}` };
  const launch = (...words: string[]): ChildProcess =>
    spawn(process.execPath, [PROGRAM, "--home", home, ...words], {
      cwd: root,
      env: { PATH: process.env["PATH"] ?? "", HOME: root, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
  const countersign = async (...words: string[]): Promise<void> => {
    const child = launch(...words);
    let said = "";
    child.stdout?.on("data", (chunk) => (said += String(chunk)));
    child.stderr?.on("data", (chunk) => (said += String(chunk)));
    if ((await ended(child)) !== 0) throw new Error(`countersign ${words.join(" ")} failed:\n${said}`);
  };

  const approver = createApprover(root, countersign);
  mkdirSync(join(home, "data", "keys"), { recursive: true, mode: 0o700 });
  for (const [name, text] of [
    ["countersign.yaml", configOf(upstream, tokens.mcp)],
    ["policy.yaml", policyOf(approver.fingerprint)],
    ["data/keys/mcp.token", `${tokens.mcp}\n`],
    ["data/keys/api.token", `${tokens.api}\n`],
  ] as const) {
    writeFileSync(join(home, name), text, { mode: 0o600 });
  }
  await countersign("upstream", "accept", "--yes");
  await countersign("init");

  const gateway = launch("start");
  const [agents, people] = await new Promise<readonly [string, string]>((resolve, reject) => {
    let said = "";
    const hear = (chunk: unknown): void => {
      said += String(chunk);
      const [, one, other] = /agents\s+(\S+)[^]*people\s+(\S+)[^]*Ctrl-C/.exec(said) ?? [];
      if (one !== undefined && other !== undefined) resolve([one, other]);
    };
    gateway.stdout?.on("data", hear);
    gateway.stderr?.on("data", hear);
    gateway.once("exit", (code) => reject(new Error(`the gateway ended with ${String(code)}:\n${said}`)));
  });
  approver.attend({ api: people, token: tokens.api });
  const proxy = await startTokenProxy(agents, tokens.mcp);
  return {
    url: proxy.url,
    async close() {
      await approver.stop();
      await proxy.close();
      const exit = ended(gateway);
      gateway.kill("SIGTERM");
      await exit;
      rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

const random = (): string => randomBytes(32).toString("base64url");

const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode === null
    ? new Promise((resolve) => child.once("exit", resolve))
    : Promise.resolve(child.exitCode);
