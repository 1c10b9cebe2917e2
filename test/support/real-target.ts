import type { MatrixTarget } from "./client-matrix.ts";
import { openRealHome, type RealHome, type RunningGateway } from "./real-gateway.ts";

export interface RealTarget extends MatrixTarget {
  readonly home: RealHome;
}

/**
 * The bundled command under the client matrix: every effect is a release of a commit of its own, every approval is
 * made by `countersign approve` and ssh-keygen. `start`: one gateway, with stdio clients behind its shim; otherwise
 * every stdio client has a gateway process of its own on the same home.
 */
export async function openRealTarget(options: {
  readonly holdMs: number;
  readonly start: boolean;
}): Promise<RealTarget> {
  const home = await openRealHome({ hold: `${options.holdMs}ms` });
  const gateway: RunningGateway | null = options.start ? await home.start() : null;
  const commits = new Map<string, string>();
  return {
    home,
    stdio: home.stdio(),
    http:
      gateway === null ? { kind: "http", url: "http://127.0.0.1:9/mcp", token: "none" } : home.http(gateway),
    tool: "deploy_service",
    args(n) {
      const ref = `change/${n}`;
      if (!commits.has(ref)) {
        commits.set(ref, home.source.commit({ "index.html": `<p>change ${n}</p>\n` }, `change ${n}`));
        home.source.git("branch", ref);
      }
      return { service: "web", ref, justification: "the release notes ask for it" };
    },
    holdMs: options.holdMs,
    async held() {
      if (gateway === null) return home.asked().map((one) => one.request);
      return (await home.list(gateway)).filter((one) => one.phase === "held").map((one) => one.id);
    },
    async approve(ticket) {
      const said = await home.approve(ticket);
      if (said.code !== 0) throw new Error(`approve ${ticket}: ${said.out}\n${said.err}`);
    },
    async deny(ticket, words) {
      const said = await home.deny(ticket, words);
      if (said.code !== 0) throw new Error(`deny ${ticket}: ${said.out}\n${said.err}`);
    },
    effects(args) {
      const commit = commits.get(String(args["ref"])) ?? "unknown";
      const releases = home.releasesOf(commit);
      const runs = home
        .commandRuns()
        .filter((line) => line.startsWith("health ") && line.includes(commit.slice(0, 12)));
      if (runs.length !== releases.length) {
        throw new Error(`${releases.length} releases of ${commit}, and ${runs.length} runs`);
      }
      return Promise.resolve(runs.length);
    },
    async close() {
      await gateway?.stop();
      const verified = await home.verify();
      await home.close();
      if (verified.code !== 0) throw new Error(`the log does not verify:\n${verified.out}${verified.err}`);
    },
  };
}
