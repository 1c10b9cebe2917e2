import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ChildEnd, ExecutionJob, ToolWorld } from "../../src/tool-kit.ts";
import type { ChildJob } from "./execute-child.ts";
import type { DeployWorld } from "./deploy-world.ts";
import { snapshotDirectory } from "./snapshot.ts";

const CHILD = fileURLToPath(new URL("./execute-child.ts", import.meta.url));

/** Starts a process that executes the plan; `killed` resolves when it is over. */
export function startChild(
  world: DeployWorld,
  job: ExecutionJob,
  dieAt: number,
): { readonly started: Promise<void>; kill(): void; readonly end: Promise<ChildEnd> } {
  const child = spawn(process.execPath, ["--import", "tsx", CHILD], { stdio: ["pipe", "pipe", "pipe"] });
  const out: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  const started = new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => {
      errors.push(chunk);
      if (Buffer.concat(errors).includes("started")) resolve();
    });
    child.once("exit", () => reject(new Error(Buffer.concat(errors).toString("utf8"))));
  });
  started.catch(() => undefined);
  const input: ChildJob = {
    entry: world.entry,
    stateDir: world.stateDir,
    workdir: world.dir,
    dieAt,
    job: {
      plan: job.plan,
      requestId: job.requestId,
      files: job.files.map(({ name, type, bytes }) => ({
        name,
        type,
        base64: Buffer.from(bytes).toString("base64"),
      })),
    },
  };
  child.stdin.end(JSON.stringify(input));
  const end = new Promise<ChildEnd>((resolve, reject) => {
    child.once("close", (code, signal) => {
      if (signal === "SIGKILL") resolve({ kind: "killed" });
      else if (code !== 0) reject(new Error(`the child failed: ${Buffer.concat(errors).toString("utf8")}`));
      else {
        const { lines } = JSON.parse(Buffer.concat(out).toString("utf8")) as { lines: number };
        resolve({ kind: "ended", progressLines: lines });
      }
    });
  });
  return { started, kill: () => void child.kill("SIGKILL"), end };
}

/** The deploy tool's world as the conformance kit wants it: one release is served, the next is ready on main. */
export function deployKitWorld(world: DeployWorld): ToolWorld {
  const notTheLock = (path: string): boolean => path === ".countersign.lock";
  let commits = 0;
  const secret = "hunter2-planted-in-config";
  return {
    input: { service: "web", ref: "main" },
    refusedInputs: [
      { service: "web" },
      { service: "../web", ref: "main" },
      { service: "web", ref: "--upload-pack=x" },
      { service: "web", ref: "main:evil" },
      { service: "web", ref: "a..b" },
      { service: "web", ref: "main\n" },
    ],
    workRoot: join(world.dir, "work"),
    secrets: [secret],
    makeTool: () => Promise.resolve(world.tool()),
    async reset() {
      for (const name of readdirSync(world.root))
        rmSync(join(world.root, name), { recursive: true, force: true });
      rmSync(world.source.dir, { recursive: true, force: true });
      mkdirSync(world.source.dir);
      world.source.git("init", "-q", "-b", "main");
      // What an operator's secret may look like in places that the tool passes by.
      world.source.git("config", "http.extraHeader", `Authorization: ${secret}`);
      writeFileSync(join(world.dir, "health.sh"), `#!/bin/sh\necho ${secret}\necho ${secret} >&2\nexit 0\n`, {
        mode: 0o755,
      });
      world.source.commit(
        { "app.js": "one\n", "bin/run": { script: "#!/bin/sh\n" }, link: { link: "app.js" } },
        "first",
      );
      await world.deploy();
      world.source.commit({ "app.js": "two\n", "more/a.txt": "a\n", "bin/run": null }, "second");
    },
    snapshot: () => Promise.resolve(snapshotDirectory(`${world.root}/current/`)),
    snapshotExactly: () => Promise.resolve(snapshotDirectory(world.root, notTheLock)),
    changes: {
      "the branch moved": async () => void world.source.commit({ "app.js": `moved ${commits++}\n` }, "moved"),
      "the branch went away": async () => {
        world.source.git("branch", "-m", "main", "elsewhere");
      },
      "another release became current": async () => {
        mkdirSync(join(world.root, "releases", "by-hand"));
        rmSync(join(world.root, "current"));
        symlinkSync("releases/by-hand", join(world.root, "current"));
      },
      "a file of the current release was edited": async () =>
        writeFileSync(join(world.root, "current", "app.js"), "edited\n"),
      "the link is gone": async () => rmSync(join(world.root, "current")),
    },
    executeAndDie: (job, dieAt) => startChild(world, job, dieAt).end,
  };
}
