import { execFile, execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { eventually, type MatrixTarget } from "./client-matrix.ts";

// The product itself as a target: a demo home, the gateway and the stdio command as people start them, the demo's
// approver with ssh-keygen at the API, and the release directory as the place where effects show.

/** The command line as `npm run bundle` builds it. @throws where it is not built */
export function builtProgram(): string {
  const program =
    process.env["COUNTERSIGN_PROGRAM"] ??
    fileURLToPath(new URL("../../dist/countersign.js", import.meta.url));
  if (!existsSync(program)) throw new Error(`${program} is not built: npm run bundle`);
  return program;
}

export interface RealTargetOptions {
  /** The built command line, `dist/countersign.js`. */
  readonly program: string;
  /** Hold time, as countersign.yaml has it: `900ms`. */
  readonly hold: string;
  readonly holdMs: number;
  /**
   * With: agents reach a running gateway, and people its API. Without: each stdio client starts a gateway of its own
   * on the same home, and people use the command line; HTTP is then not served.
   */
  readonly gateway: boolean;
}

const run = promisify(execFile);

export async function openRealTarget({
  program,
  hold,
  holdMs,
  ...options
}: RealTargetOptions): Promise<MatrixTarget> {
  const made = await startGateway(program, [
    "start",
    "--demo",
    "--mcp",
    "127.0.0.1:0",
    "--api",
    "localhost:0",
  ]);
  await stop(made.child);
  const { home } = made;
  const config = join(home, "countersign.yaml");
  // More deployments than a person would ask for, kept longer than a person would want them.
  const limits =
    "limits: { held_per_minute: 10000, previews_per_hour: 10000, open_requests: 1000, blobs_per_day: 4GiB }";
  const text = withPlaces(readFileSync(config, "utf8").replace("keep: 3", "keep: 100"));
  for (let place = 0; place < PLACES; place += 1)
    mkdirSync(join(home, "workspace", `releases-shop${place}`), { mode: 0o700 });
  writeFileSync(config, `${text}hold: { default: ${hold}, rounds: 1 }\nlog_level: error\n${limits}\n`);
  const gateway = options.gateway ? await startGateway(program, ["start", "--home", home]) : null;
  const repository = join(home, "workspace", "shop");
  const releasesOf = (service: unknown): string =>
    join(home, "workspace", service === "shop" ? "releases" : `releases-${String(service)}`, "releases");
  const token = (name: string): string => readFileSync(join(home, "data", "keys", name), "utf8").trim();
  const key = join(home, "workspace", "demo-approver");
  const people =
    gateway === null ? atTerminal(program, home, key) : overApi(gateway.api, token("api.token"), key);

  return {
    stdio: {
      kind: "stdio",
      command: process.execPath,
      args: [program, "mcp", "--home", home, "--agent", "demo-agent"],
    },
    http: { kind: "http", url: gateway?.mcp ?? "http://127.0.0.1:1/mcp", token: token("mcp.token") },
    tool: "deploy_service",
    args: (n, place) => ({
      service: place === undefined ? "shop" : `shop${place}`,
      ref: commit(repository, n),
      justification: `the matrix brings out version ${n}`,
    }),
    holdMs,
    ...people,
    // At the gateway's machine, beside whatever process serves the home.
    ask: async (ticket, words) =>
      void (await run(process.execPath, [program, "--home", home, "ask", ticket, words, "--as", "demo"])),
    answers: async (ticket) =>
      readdirSync(join(home, "data", "log"))
        .filter((name) => name.endsWith(".jsonl"))
        .flatMap((name) =>
          readFileSync(join(home, "data", "log", name), "utf8")
            .split("\n")
            .slice(0, -1),
        )
        .map((line) => JSON.parse(line) as { kind: string; subject: string; data: { text: string } })
        .filter(({ kind, subject }) => kind === "inquiry.answered" && subject === ticket)
        .map(({ data }) => data.text),
    effects: async (args) => {
      const releases = releasesOf(args["service"]);
      if (!existsSync(releases)) return 0;
      return readdirSync(releases, { withFileTypes: true }).filter(
        (entry) => entry.isDirectory() && entry.name.includes(String(args["ref"]).slice(0, 12)),
      ).length;
    },
    async close() {
      if (gateway !== null) await stop(gateway.child);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

const PLACES = 20;

/** The demo's service once more for each place, with releases of its own: one deployment makes another's plan stale. */
function withPlaces(config: string): string {
  const [before = "", service = ""] = config.split(/(?<=^services:\n)/m);
  const places = Array.from({ length: PLACES }, (_, place) =>
    service.replace(/^ {2}shop:/m, `  shop${place}:`).replace(/(releases: ".*)"/, `$1-shop${place}"`),
  );
  return [before, service, ...places].join("");
}

type People = Pick<MatrixTarget, "held" | "approve" | "deny">;

function overApi(url: string, token: string, key: string): People {
  const call = async <T>(path: string, body?: unknown): Promise<T> => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as T;
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
  const decide = async (ticket: string, decision: "approve" | "deny", reason: string): Promise<void> => {
    const query = new URLSearchParams({ person: "demo", decision, reason });
    const draft = await call<{ statement: object; sign: { namespace: string; bytes: string } }>(
      `/requests/${ticket}/draft?${query.toString()}`,
    );
    const { stdout: signature } = await sign(key, draft.sign);
    const proof = { kind: "sshsig", signature };
    await call(`/requests/${ticket}/decisions`, { statement: draft.statement, proof });
  };
  return {
    held: async () => {
      const { requests } = await call<{ requests: { id: string; phase: string }[] }>("/requests?limit=1000");
      return requests.filter((request) => request.phase === "held").map((request) => request.id);
    },
    approve: (ticket) => decide(ticket, "approve", "looked at it"),
    deny: (ticket, words) => decide(ticket, "deny", words),
  };
}

function atTerminal(program: string, home: string, key: string): People {
  const cli = async (...args: string[]): Promise<string> =>
    (await run(process.execPath, [program, "--home", home, ...args])).stdout;
  const pending = async (): Promise<{ request: string; code: string }[]> =>
    JSON.parse(await cli("pending", "--json")) as { request: string; code: string }[];
  return {
    held: async () => (await pending()).map(({ request }) => request),
    async approve(ticket) {
      const code = (await pending()).find(({ request }) => request === ticket)?.code ?? "";
      await cli("approve", ticket, "--key", key, "--yes", "--code", code, "--no-wait");
    },
    deny: async (ticket, words) => void (await cli("deny", ticket, "--key", key, "--reason", words)),
  };
}

interface Gateway {
  readonly child: ChildProcess;
  readonly home: string;
  readonly mcp: string;
  readonly api: string;
}

async function startGateway(program: string, args: readonly string[]): Promise<Gateway> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let banner = "";
  child.stdout.on("data", (chunk) => (banner += String(chunk)));
  child.stderr.on("data", (chunk) => (banner += String(chunk)));
  const pick = (pattern: RegExp): string => {
    const found = pattern.exec(banner)?.[1];
    if (found === undefined) throw new Error(`the gateway's banner lacks ${String(pattern)}:\n${banner}`);
    return found;
  };
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`the gateway did not start:\n${banner}`);
    return banner.includes("Ctrl-C") ? true : undefined;
  });
  return { child, home: pick(/ serves (\S+)/), mcp: pick(/agents\s+(\S+)/), api: pick(/people\s+(\S+)/) };
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

function sign(key: string, { namespace, bytes }: { readonly namespace: string; readonly bytes: string }) {
  const signed = run("ssh-keygen", ["-Y", "sign", "-q", "-f", key, "-n", namespace]);
  signed.child.stdin?.end(Buffer.from(bytes, "base64"));
  return signed;
}

/** One more commit in the demo's repository; its full id. */
function commit(repository: string, n: number): string {
  const git = (...args: string[]): string =>
    execFileSync("git", ["-c", "user.name=Test", "-c", "user.email=test@example.com", ...args], {
      cwd: repository,
      env: { PATH: process.env["PATH"] ?? "", HOME: repository, GIT_CONFIG_NOSYSTEM: "1" },
      encoding: "utf8",
    }).trim();
  writeFileSync(join(repository, "version.txt"), `${n}\n`);
  git("add", "version.txt");
  git("commit", "--quiet", "-m", `version ${n}`);
  return git("rev-parse", "HEAD");
}
