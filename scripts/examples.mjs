// Runs every example against a demo gateway of its own, and answers their requests as the demo's approver: over the
// API, with a statement signed by ssh-keygen. COUNTERSIGN_URL and COUNTERSIGN_TOKEN set: against that gateway, whose
// people answer.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const EXAMPLES = ["mcp-client", "old-client", "anthropic", "openai", "jenkins"];
const root = fileURLToPath(new URL("..", import.meta.url));

async function main() {
  const given = process.env.COUNTERSIGN_URL !== undefined && process.env.COUNTERSIGN_TOKEN !== undefined;
  const demo = given ? null : await startDemo();
  let failed = 0;
  try {
    for (const name of EXAMPLES) {
      console.log(`\n== examples/${name}`);
      const status = await run(name, demo);
      if (status !== 0) failed += 1;
    }
  } finally {
    await demo?.stop();
  }
  console.log(failed === 0 ? "\nall examples ran" : `\n${failed} of ${EXAMPLES.length} examples failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

async function run(name, demo) {
  const env = { ...process.env };
  if (demo !== null) {
    env.COUNTERSIGN_URL = demo.mcp;
    env.COUNTERSIGN_TOKEN = demo.mcpToken;
    // Each example brings out a commit of its own: the same call twice would be answered from the first.
    env.COUNTERSIGN_EXAMPLE_ARGS = JSON.stringify({ service: "shop", ref: demo.commit(name) });
  }
  const words =
    name === "jenkins"
      ? ["sh", ["examples/jenkins/deploy.sh"]]
      : [process.execPath, ["--import", "tsx", `examples/${name}/main.ts`]];
  if (name === "jenkins") {
    if (demo === null) return skipped(name);
    // As the gateway's own account: it opens the demo's home.
    const { service, ref } = JSON.parse(env.COUNTERSIGN_EXAMPLE_ARGS);
    const program = `${process.execPath} ${join(root, "dist", "countersign.js")}`;
    Object.assign(env, { SERVICE: service, REF: ref, BUILD_TAG: "example-1", COUNTERSIGN_HOME: demo.home });
    env.COUNTERSIGN = program;
  }
  const example = spawn(...words, { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] });
  const ended = new Promise((resolve) => example.once("exit", (code) => resolve(code ?? 1)));
  const people = demo === null ? null : setInterval(() => void demo.approveAll().catch(report), 500);
  const status = await ended;
  if (people !== null) clearInterval(people);
  return status;
}

/** A gateway that was given has no token of the API here. */
function skipped(name) {
  console.log(`   examples/${name} runs against the demo gateway only`);
  return 0;
}

const report = (error) => console.error(String(error));

/** Starts a demo gateway and reads from its banner where it is. */
async function startDemo() {
  const program = join(root, "dist", "countersign.js");
  const gateway = spawn(
    process.execPath,
    [program, "start", "--demo", "--mcp", "127.0.0.1:0", "--api", "localhost:0"],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let banner = "";
  const said = new Promise((resolve, reject) => {
    const read = (chunk) => {
      banner += String(chunk);
      if (banner.includes("--key")) resolve();
    };
    gateway.stdout.on("data", read);
    gateway.stderr.on("data", read);
    gateway.once("exit", () => reject(new Error(`the demo gateway did not start:\n${banner}`)));
  });
  await said;
  const pick = (pattern) => {
    const found = pattern.exec(banner)?.[1];
    if (found === undefined) throw new Error(`the banner lacks ${String(pattern)}:\n${banner}`);
    return found;
  };
  const home = pick(/ serves (\S+)/);
  const api = pick(/people\s+(\S+)/);
  const apiToken = readFileSync(pick(/people\s+\S+\s+token: (\S+)/), "utf8").trim();
  const key = pick(/--key (\S+)/);
  const approve = approver({ api, apiToken, key });
  return {
    home,
    mcp: pick(/agents\s+(\S+)/),
    mcpToken: readFileSync(pick(/agents\s+\S+\s+token: (\S+)/), "utf8").trim(),
    approveAll: approve,
    commit: (name) => commit(join(home, "workspace", "shop"), name),
    async stop() {
      gateway.removeAllListeners("exit");
      const ended = new Promise((resolve) => gateway.once("exit", resolve));
      gateway.kill("SIGTERM");
      await ended;
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Approves everything that is held, as the demo's approver. */
function approver({ api, apiToken, key }) {
  const done = new Set();
  const call = async (path, body) => {
    const response = await fetch(`${api}/api/v1${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${apiToken}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
  return async () => {
    const { requests } = await call("/requests?limit=20");
    for (const { id, phase, summary } of requests) {
      if (phase !== "held" || done.has(id)) continue;
      done.add(id);
      const { statement, sign } = await call(`/requests/${id}/draft?person=demo&decision=approve`);
      const signature = sshSign(key, sign);
      const { state } = await call(`/requests/${id}/decisions`, {
        statement,
        proof: { kind: "sshsig", signature },
      });
      console.log(`   (a person approves: ${summary} -> ${state})`);
    }
  };
}

function sshSign(key, { namespace, bytes }) {
  const signed = spawnSync("ssh-keygen", ["-Y", "sign", "-q", "-f", key, "-n", namespace], {
    input: Buffer.from(bytes, "base64"),
  });
  if (signed.status !== 0) throw new Error(`ssh-keygen: ${String(signed.stderr)}`);
  return signed.stdout.toString();
}

/** One more commit in the demo's repository; its full id. */
function commit(repository, name) {
  const home = mkdtempSync(join(tmpdir(), "countersign-examples-"));
  const git = (...args) =>
    execFileSync("git", ["-c", "user.name=Example", "-c", "user.email=example@example.com", ...args], {
      cwd: repository,
      env: { PATH: process.env.PATH, HOME: home, GIT_CONFIG_NOSYSTEM: "1" },
      encoding: "utf8",
    }).trim();
  try {
    writeFileSync(join(repository, "example.txt"), `brought out by examples/${name}\n`);
    git("add", "--all");
    git("commit", "--quiet", "-m", `example ${name}`);
    return git("rev-parse", "HEAD");
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

await main();
