import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { build } from "esbuild";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { newToken } from "../src/base/token.ts";
import { callTool, makeWorld } from "../test/support/world.ts";
import { median, type Bench, type BenchRow } from "./rows.ts";
import { benchDir } from "./store-home.ts";

// What a call costs through the gateway: the same tools behind it and served directly, each in a process of its own,
// called by a real MCP client over stdio and HTTP, in turns. The log's disk is that of the working directory.

type Over = "stdio" | "http";

interface Side {
  call(tool: string, args: Record<string, unknown>): Promise<void>;
  close(): Promise<void>;
}

/** The server of this bench as one file, as the product is shipped: loading its packages is no part of a call. */
async function bundleServer(dir: string): Promise<string> {
  const outfile = join(dir, "call-server.mjs");
  await build({
    entryPoints: ["bench/call-server.ts"],
    ...{ outfile, bundle: true, format: "esm", platform: "node", target: "node20", logLevel: "warning" },
    external: ["fs-native-extensions", "pino"],
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
  return outfile;
}

async function connect(program: string, kind: "direct" | "gate", over: Over, dir: string): Promise<Side> {
  const client = new Client({ name: "countersign-bench", version: "1.0.0" });
  const token = newToken("csm");
  const args = [program, kind, over, token];
  const env = { ...(process.env as Record<string, string>), TMPDIR: dir };
  let child: ChildProcess | null = null;
  if (over === "stdio") {
    await client.connect(
      new StdioClientTransport({ command: process.execPath, args, env, cwd: dir, stderr: "inherit" }),
    );
  } else {
    child = spawn(process.execPath, args, { env, cwd: dir, stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const [line] = (await once(lines, "line")) as [string];
    const requestInit = { headers: { authorization: `Bearer ${token}` } };
    await client.connect(
      new StreamableHTTPClientTransport(new URL(line.slice("ready ".length)), { requestInit }),
    );
  }
  return {
    async call(tool, given) {
      const result = await client.callTool({ name: tool, arguments: given });
      if (result.isError === true) throw new Error(`${tool}: ${JSON.stringify(result.content)}`);
    },
    async close() {
      await client.close();
      if (child === null) return;
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      const killed = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await exited;
      clearTimeout(killed);
    },
  };
}

const bookName = (i: number): string =>
  `b${[...String(i)].map((digit) => "abcdefghij"[Number(digit)]).join("")}`;

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** An allowed read and an allowed write through the gateway, against the same tools without it. */
export const callThrough: Bench = async ({ quick }) => {
  const { dir, remove } = benchDir();
  const rows: BenchRow[] = [];
  try {
    const program = await bundleServer(dir);
    for (const over of ["stdio", "http"] as const) {
      const direct = await connect(program, "direct", over, dir);
      const gate = await connect(program, "gate", over, dir);
      const times = { read: { ours: [], direct: [] }, write: { ours: [], direct: [] } } as Record<
        "read" | "write",
        { ours: number[]; direct: number[] }
      >;
      const rounds = quick ? 60 : 300;
      for (let i = 0; i < rounds; i += 1) {
        const args = { book: "log", text: `note ${i}` };
        times.write.direct.push(await timed(() => direct.call("write_note", args)));
        times.write.ours.push(await timed(() => gate.call("write_note", args)));
        // Always another book: the call before must not answer it.
        times.read.direct.push(await timed(() => direct.call("read_note", { book: bookName(i) })));
        times.read.ours.push(await timed(() => gate.call("read_note", { book: bookName(i) })));
      }
      await gate.close();
      await direct.close();
      for (const what of ["read", "write"] as const) {
        const ours = median(times[what].ours.slice(10));
        const reference = median(times[what].direct.slice(10));
        rows.push({
          name: `allowed ${what} over ${over}, p50`,
          ours: `${ours.toFixed(2)} ms`,
          reference: `${reference.toFixed(2)} ms served directly`,
          ratio: ours / reference,
          bar: null,
        });
      }
    }
    return [...rows, ...(await steps(quick ? 40 : 200))];
  } finally {
    remove();
  }
};

/** Where the time of a call goes inside the gateway: waiting for documents and entries, and everything else. */
async function steps(rounds: number): Promise<BenchRow[]> {
  const many = 1e9;
  const world = await makeWorld({
    limits: {
      ...{ heldPerMinute: many, readsPerMinute: many, previewsPerHour: many, openRequests: many },
      blobBytesPerDay: 1e12,
    },
  });
  try {
    const { store } = world.home;
    const { append } = store;
    const { place } = store.blobs;
    let documents = 0;
    let entries = 0;
    Object.assign(store, {
      append: async (batch: Parameters<typeof append>[0]) => {
        const start = performance.now();
        const result = await append(batch);
        entries += performance.now() - start;
        return result;
      },
    });
    Object.assign(store.blobs, {
      place: async (blobs: Parameters<typeof place>[0]) => {
        const start = performance.now();
        const placed = await place(blobs);
        const noted = placed.durable.then(() => void (documents += performance.now() - start));
        return { ...placed, durable: noted };
      },
    });
    const rows: BenchRow[] = [];
    for (const what of ["read", "write"] as const) {
      const all: number[] = [];
      const documentShare: number[] = [];
      const entryShare: number[] = [];
      for (let i = 0; i < rounds; i += 1) {
        documents = 0;
        entries = 0;
        const args = what === "read" ? { book: bookName(i) } : { book: "log", text: `step ${i}` };
        const total = await timed(async () => {
          await callTool(world.home, `${what}_note`, args, { holdMs: 5_000 });
        });
        all.push(total);
        documentShare.push(documents);
        entryShare.push(entries);
      }
      const total = median(all);
      const part = (name: string, values: readonly number[]): BenchRow => ({
        name: `  of an allowed ${what} inside the gateway: ${name}`,
        ours: `${median(values).toFixed(2)} ms`,
        reference: `${total.toFixed(2)} ms in all`,
        ratio: median(values) / total,
        bar: null,
      });
      rows.push(part("entries durable", entryShare));
      rows.push(part("documents durable, meanwhile", documentShare));
    }
    return rows;
  } finally {
    await world.close();
  }
}
