import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { build } from "esbuild";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { newToken } from "../src/base/token.ts";
import { median } from "./rows.ts";

// The ways a call can go, each with a real MCP client at its end and a process of its own behind it.

export interface Side {
  /** Where others can reach it; null over stdio. */
  readonly url: string | null;
  call(tool: string, args: Record<string, unknown>): Promise<void>;
  close(): Promise<void>;
}

/** The server of these benches as one file, as the product is shipped: loading its packages is no part of a call. */
export async function bundleServer(dir: string): Promise<string> {
  const outfile = join(dir, "call-server.mjs");
  await build({
    entryPoints: ["bench/call-server.ts"],
    ...{ outfile, bundle: true, format: "esm", platform: "node", target: "node20", logLevel: "warning" },
    ...{ minifySyntax: true, minifyWhitespace: true },
    external: ["fs-native-extensions", "pino"],
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
  return outfile;
}

const environment = (dir: string): Record<string, string> => ({
  ...(process.env as Record<string, string>),
  TMPDIR: dir,
});

/** A client over a command's stdin and stdout. */
export async function overStdio(dir: string, command: string, args: readonly string[]): Promise<Side> {
  const client = new Client({ name: "countersign-bench", version: "1.0.0" });
  const options = { command, args: [...args], env: environment(dir), cwd: dir, stderr: "ignore" as const };
  await client.connect(new StdioClientTransport(options));
  return sideOf(client, null, null);
}

/** A client over HTTP. `child` ends with it. */
export async function overHttp(url: string, child: ChildProcess | null, token: string): Promise<Side> {
  const client = new Client({ name: "countersign-bench", version: "1.0.0" });
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return sideOf(client, url, child);
}

function sideOf(client: Client, url: string | null, child: ChildProcess | null): Side {
  return {
    url,
    async call(tool, given) {
      const result = await client.callTool({ name: tool, arguments: given });
      if (result.isError === true) throw new Error(`${tool}: ${JSON.stringify(result.content)}`);
    },
    async close() {
      await client.close();
      if (child === null || child.exitCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      const killed = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await exited;
      clearTimeout(killed);
    },
  };
}

export type Kind = "direct" | "gate" | "front" | "raw" | "kept";

/** One of our own servers (call-server.ts). */
export async function connect(
  program: string,
  kind: Kind,
  over: "stdio" | "http",
  dir: string,
  behind = "",
): Promise<Side> {
  const token = newToken("csm");
  const args = [program, kind, over, token, behind];
  if (over === "stdio") return overStdio(dir, process.execPath, args);
  const child = spawn(process.execPath, args, {
    ...{ env: environment(dir), cwd: dir, stdio: ["ignore", "pipe", "inherit"] },
  });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const [line] = (await once(lines, "line")) as [string];
  return overHttp(line.slice("ready ".length), child, token);
}

/** A word for a number: names of books are letters. */
export const bookName = (i: number): string =>
  `b${[...String(i)].map((digit) => "abcdefghij"[Number(digit)]).join("")}`;

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export interface Measured {
  /** Milliseconds, p50. */
  readonly read: number;
  readonly write: number;
  /** Reads a second with 16 in flight. */
  readonly rate: number;
}

const WIDTH = 16;
const READS = 60;
const WRITES = 20;
const AT_ONCE = 96;
/** A server runs for days: what V8 has compiled after so many calls is what it runs with. */
const WARM_READS = 2_000;
const WARM_WRITES = 400;

/**
 * All of them in turns: reads one after another, writes, then many reads at once. A hundredth of the calls to get warm
 * where it is to be `quick`.
 */
export async function measure(
  sides: Readonly<Record<string, Side>>,
  rounds: number,
  { quick = false } = {},
): Promise<Readonly<Record<string, Measured>>> {
  const times = new Map(Object.keys(sides).map((name) => [name, { read: [], write: [], rate: [] } as Times]));
  let next = 0;
  // Always another book and another text: the call before must not answer it.
  const read = (side: Side): Promise<void> => side.call("read_note", { book: bookName((next += 1)) });
  const write = (side: Side): Promise<void> =>
    side.call("write_note", { book: "log", text: `note ${(next += 1)}` });
  const manyReads = (side: Side, count: number): Promise<unknown> => {
    let left = count;
    const lane = async (): Promise<void> => {
      while (left-- > 0) await read(side);
    };
    return Promise.all(Array.from({ length: WIDTH }, lane));
  };
  const share = quick ? 0.01 : 1;
  for (const side of Object.values(sides)) {
    await manyReads(side, WARM_READS * share);
    for (let i = 0; i < WARM_WRITES * share; i += 1) await write(side);
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, side] of Object.entries(sides)) {
      const noted = times.get(name) as Times;
      for (let i = 0; i < READS; i += 1) noted.read.push(await timed(() => read(side)));
      for (let i = 0; i < WRITES; i += 1) noted.write.push(await timed(() => write(side)));
      noted.rate.push(AT_ONCE / ((await timed(() => manyReads(side, AT_ONCE))) / 1_000));
    }
  }
  return Object.fromEntries(
    [...times].map(([name, { read, write, rate }]) => [
      name,
      { read: median(read), write: median(write), rate: median(rate) },
    ]),
  );
}

interface Times {
  readonly read: number[];
  readonly write: number[];
  readonly rate: number[];
}
