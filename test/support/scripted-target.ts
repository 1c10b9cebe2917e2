import { build } from "esbuild";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Call } from "../../src/gate/reply.ts";
import { eventually, type MatrixTarget } from "./client-matrix.ts";

/** Bundles the gateway of `scripted-gateway.ts` once; starting it through tsx would cost a second each time. */
export async function bundleScriptedGateway(dir: string): Promise<string> {
  const outfile = join(dir, "scripted-gateway.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("scripted-gateway.ts", import.meta.url))],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "warning",
    banner: {
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
  });
  return outfile;
}

export const control = (dir: string, file = "control") => {
  const ask = async (path: string, body?: string): Promise<unknown> => {
    const port = await eventually(() => readFile(join(dir, file), "utf8").catch(() => undefined));
    const response = await fetch(
      `http://127.0.0.1:${port}/${path}`,
      body === undefined ? {} : { method: "POST", body },
    );
    if (!response.ok) throw new Error(`control ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  return {
    held: () => ask("held") as Promise<string[]>,
    approve: (ticket: string) => ask(`approve/${ticket}`),
    deny: (ticket: string, words: string) => ask(`deny/${ticket}`, words),
    ask: (ticket: string, words: string) => ask(`ask/${ticket}`, words),
    effects: (key: string) => ask(`effects/${encodeURIComponent(key)}`) as Promise<number>,
    answers: (ticket: string) => ask(`answers/${ticket}`) as Promise<(string | null)[]>,
    calls: () => ask("calls") as Promise<Call[]>,
  };
};

export interface ScriptedTargetOptions {
  readonly holdMs: number;
  /** Reach stdio clients through the shim, so that all of them meet in one gateway. */
  readonly shim: boolean;
}

/** A matrix target that also tells what reached its gate. */
export interface ScriptedTarget extends MatrixTarget {
  calls(): Promise<readonly Call[]>;
}

/** One gateway over HTTP; stdio clients reach it through the shim, or get a gateway process of their own. */
export async function openScriptedTarget({ holdMs, shim }: ScriptedTargetOptions): Promise<ScriptedTarget> {
  const dir = await mkdtemp(join(tmpdir(), "countersign-matrix-"));
  const program = await bundleScriptedGateway(dir);
  const token = "csm_test-token-for-the-client-matrix";
  const env = { HOLD_MS: String(holdMs) };
  const ownEnv = { ...env, CONTROL_OF_ITS_OWN: "1" };
  const gateway = spawn(process.execPath, [program, "http", dir, token], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const url = await eventually(() => readFile(join(dir, "url"), "utf8").catch(() => undefined));
  const http = control(dir);
  // A stdio gateway of its own has people of its own.
  const own = await mkdtemp(join(tmpdir(), "countersign-stdio-"));
  const people = async () => [
    http,
    ...(await readdir(own)).filter((file) => file.startsWith("control-")).map((file) => control(own, file)),
  ];
  const each = async <T>(ask: (side: typeof http) => Promise<T>): Promise<T[]> =>
    Promise.all((await people()).map((side) => ask(side)));
  const noTickets: string[] = [];
  const ownerOf = async (ticket: string): Promise<typeof http> => {
    for (const side of await people())
      if ((await side.held().catch(() => noTickets)).includes(ticket)) return side;
    throw new Error(`nobody is asked about ${ticket}`);
  };
  const keyOf = (args: Record<string, unknown>): string =>
    `${String(args["service"])}@${String(args["ref"])}`;
  return {
    stdio: {
      kind: "stdio",
      command: process.execPath,
      args: shim ? [program, "shim", url, token] : [program, "stdio", own],
      env: shim ? env : ownEnv,
    },
    http: { kind: "http", url, token },
    tool: "deploy_service",
    args: (n) => ({ service: "web", ref: `v${n}`, justification: "the release notes ask for it" }),
    holdMs,
    held: async () => (await each((side) => side.held().catch(() => noTickets))).flat(),
    approve: async (ticket) => void (await (await ownerOf(ticket)).approve(ticket)),
    deny: async (ticket, words) => void (await (await ownerOf(ticket)).deny(ticket, words)),
    ask: async (ticket, words) => void (await (await ownerOf(ticket)).ask(ticket, words)),
    answers: async (ticket) => (await ownerOf(ticket)).answers(ticket),
    effects: async (args) =>
      (await each((side) => side.effects(keyOf(args)).catch(() => 0))).reduce((a, b) => a + b, 0),
    calls: async () => (await each((side) => side.calls().catch(() => []))).flat(),
    async close() {
      gateway.kill("SIGTERM");
      if (gateway.exitCode === null) await once(gateway, "exit");
      await rm(dir, { recursive: true, force: true });
      await rm(own, { recursive: true, force: true });
    },
  };
}
