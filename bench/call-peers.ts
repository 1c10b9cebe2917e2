import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  bundleServer,
  connect,
  measure,
  overHttp,
  overStdio,
  type Measured,
  type Side,
} from "./call-sides.ts";
import type { Bench, BenchRow } from "./rows.ts";
import { benchDir } from "./store-home.ts";

// What others cost who stand between a client and a server. They only pass on; the gateway decides, records and flushes
// each call as well. Installed from npm into the bench's own directory, pinned; one that can't be is left out.

const PEERS = {
  "mcp-proxy": "6.7.19",
  supergateway: "4.0.0",
  "mcp-remote": "0.15.1",
  "@civic/passthrough-mcp-server": "0.12.1",
} as const;

function install(root: string): string | null {
  const wanted = Object.entries(PEERS).map(([name, version]) => `${name}@${version}`);
  try {
    execFileSync(
      "npm",
      ["install", "--prefix", root, "--no-save", "--no-audit", "--no-fund", "--no-engine-strict", ...wanted],
      {
        // Not in the project, whose settings would refuse what they need.
        cwd: root,
        stdio: ["ignore", "ignore", "pipe"],
        timeout: 300_000,
      },
    );
    return join(root, "node_modules");
  } catch (error) {
    const said = String((error as { stderr?: unknown }).stderr ?? error);
    const why = said.split("\n").find((line) => line.startsWith("npm error")) ?? said.slice(0, 200);
    process.stderr.write(`  the peers could not be installed: ${why}\n`);
    return null;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A peer that listens: tried until it answers. */
async function listening(
  dir: string,
  start: (port: number) => readonly string[],
  env: (port: number) => Record<string, string> = () => ({}),
): Promise<Side> {
  const port = await freePort();
  const options = { cwd: dir, env: { ...process.env, ...env(port) }, stdio: "ignore" as const };
  const child: ChildProcess = spawn(process.execPath, [...start(port)], options);
  for (let tries = 0; ; tries += 1) {
    try {
      return await overHttp(`http://127.0.0.1:${port}/mcp`, child, "none");
    } catch (error) {
      if (tries > 100 || child.exitCode !== null) {
        child.kill("SIGKILL");
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** A front and what stands behind it, and the peers that do the same. */
interface Ways {
  readonly over: "stdio" | "http";
  readonly behind: "stdio" | "http";
  readonly peers: Readonly<Record<string, () => Promise<Side>>>;
}

/** Which peers stand in for what, and how each is started. */
function starts(modules: string, dir: string, program: string, url: string): readonly Ways[] {
  const main = {
    proxy: join(modules, "mcp-proxy/dist/bin/mcp-proxy.mjs"),
    supergateway: join(modules, "supergateway/dist/index.js"),
    remote: join(modules, "mcp-remote/dist/proxy.js"),
    civic: join(modules, "@civic/passthrough-mcp-server/dist/cli.js"),
  };
  const server = [process.execPath, program, "direct", "stdio", "none"];
  return [
    {
      over: "http",
      behind: "stdio",
      peers: {
        "mcp-proxy 6": () =>
          listening(dir, (port) => [
            ...[main.proxy, "--host", "127.0.0.1", "--port", String(port), "--server", "stream", "--"],
            ...server,
          ]),
        "supergateway 4, stateful": () =>
          listening(dir, (port) => [
            ...[main.supergateway, "--stdio", server.join(" "), "--outputTransport", "streamableHttp"],
            ...["--stateful", "--port", String(port), "--logLevel", "none"],
          ]),
      },
    },
    {
      over: "http",
      behind: "http",
      peers: {
        "civic passthrough 0.12": () =>
          listening(
            dir,
            () => [main.civic],
            (port) => ({ PORT: String(port), TARGET_SERVER_URL: url, TARGET_SERVER_TRANSPORT: "httpStream" }),
          ),
      },
    },
    {
      over: "stdio",
      behind: "http",
      peers: {
        "mcp-remote 0.15": () =>
          overStdio(dir, process.execPath, [main.remote, url, "--transport", "http-only", "--allow-http"]),
        "supergateway 4": () =>
          overStdio(dir, process.execPath, [
            main.supergateway,
            "--streamableHttp",
            url,
            "--logLevel",
            "none",
          ]),
      },
    },
  ];
}

/** The gateway in front of a server, against others in front of the same one, reached the same way: below each of them. */
export const callPeers: Bench = async ({ quick }) => {
  const { dir, remove } = benchDir();
  const sides: Side[] = [];
  const peers = mkdtempSync(join(tmpdir(), "countersign-peers-"));
  try {
    const modules = install(peers);
    if (modules === null) return [];
    const program = await bundleServer(dir);
    const direct = await connect(program, "direct", "http", dir);
    sides.push(direct);
    const url = direct.url as string;
    const rows: BenchRow[] = [];
    for (const { over, behind, peers: known } of starts(modules, dir, program, url)) {
      const ours = await connect(program, "front", over, dir, behind === "http" ? url : "stdio");
      sides.push(ours);
      const ways: Record<string, Side> = { ours };
      for (const [name, start] of Object.entries(known)) {
        try {
          sides.push((ways[name] = await start()));
          await ways[name].call("read_note", { book: "warm" });
        } catch (error) {
          delete ways[name];
          process.stderr.write(
            `  ${name} could not be started: ${(error as Error).message.split("\n")[0] ?? ""}\n`,
          );
        }
      }
      const { ours: measured, ...others } = await measure(ways, quick ? 2 : 15, { quick });
      const own = measured as Measured;
      for (const [name, peer] of Object.entries(others)) {
        rows.push({
          name: `fronting ${behind} over ${over}, allowed read, p50`,
          ours: `${own.read.toFixed(2)} ms, ${own.rate.toFixed(0)}/s`,
          reference: `${peer.read.toFixed(2)} ms, ${peer.rate.toFixed(0)}/s ${name}`,
          ratio: own.read / peer.read,
          bar: "<= 1",
        });
      }
    }
    return rows;
  } finally {
    for (const side of sides) await side.close();
    remove();
    rmSync(peers, { recursive: true, force: true });
  }
};
