import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startTokenProxy } from "./token-proxy.ts";

// A gateway as an operator starts it, in a home of its own, with one client that has a token.

const PROGRAM = fileURLToPath(new URL("../../dist/countersign.js", import.meta.url));

export interface RunningGateway {
  /** Through the proxy that adds the token. */
  readonly url: string;
  close(): Promise<void>;
}

const POLICY = `version: 1
people:
  ana: { name: Ana Ruiz, oidc: { issuer: "https://idp.example.com", subject: ana } }
  ben: { name: Ben Oduya, oidc: { issuer: "https://idp.example.com", subject: ben } }
groups: { sre: [ben] }
agents: { suite: { owners: [ana] } }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }
rules:
  - id: the-lab-is-free
    match: { environment: lab }
    verdict: allow
`;

/** Starts a gateway in front of the server at `upstream`. */
export async function startGateway(upstream: string): Promise<RunningGateway> {
  if (!existsSync(PROGRAM)) throw new Error("dist/countersign.js is missing: node scripts/build.mjs");
  const home = mkdtempSync(join(tmpdir(), "countersign-conformance-home-"));
  const token = `csm_${randomBytes(32).toString("base64url")}`;
  const write = (name: string, text: string): void => writeFileSync(join(home, name), text, { mode: 0o600 });
  mkdirSync(join(home, "data", "keys"), { recursive: true, mode: 0o700 });
  write(
    "countersign.yaml",
    `version: 1
policy: policy.yaml
isolation: none
listeners: { mcp: "127.0.0.1:0", api: "localhost:0" }
hold: 2s
limits: { held_per_minute: 100000, reads_per_minute: 100000, open_requests: 1000, previews_per_hour: 100000 }
upstreams:
  fixture: { url: "${upstream}", environment: lab, vouch: true, prefix: none, resources: true }
clients:
  - { name: suite, agent: suite, principal: ana, token_sha256: ${createHash("sha256").update(token).digest("hex")} }
`,
  );
  write("policy.yaml", POLICY);
  write("data/keys/mcp.token", `${token}\n`);
  write("data/keys/api.token", `csa_${randomBytes(32).toString("base64url")}\n`);
  const env = { PATH: process.env["PATH"] ?? "", HOME: home, NO_COLOR: "1" };
  const start = (...words: string[]) =>
    spawn(process.execPath, [PROGRAM, "--home", home, ...words], {
      cwd: home,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
  for (const words of [["upstream", "accept", "--yes"], ["init"]]) {
    const child = start(...words);
    let said = "";
    child.stdout.on("data", (chunk) => (said += String(chunk)));
    child.stderr.on("data", (chunk) => (said += String(chunk)));
    if ((await ended(child)) !== 0) throw new Error(`countersign ${words.join(" ")} failed:\n${said}`);
  }

  const gateway = start("start");
  const url = await new Promise<string>((resolve, reject) => {
    let out = "";
    const hear = (chunk: unknown): void => {
      out += String(chunk);
      const found = /agents\s+(\S+)[^]*Ctrl-C/.exec(out)?.[1];
      if (found !== undefined) resolve(found);
    };
    gateway.stdout.on("data", hear);
    gateway.stderr.on("data", hear);
    gateway.once("exit", (code) => reject(new Error(`the gateway ended with ${String(code)}:\n${out}`)));
  });
  const proxy = await startTokenProxy(url, token);
  return {
    url: proxy.url,
    async close() {
      await proxy.close();
      const exit = ended(gateway);
      gateway.kill("SIGTERM");
      await exit;
      rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

const ended = (child: ReturnType<typeof spawn>): Promise<number | null> =>
  child.exitCode === null
    ? new Promise((resolve) => child.once("exit", resolve))
    : Promise.resolve(child.exitCode);
