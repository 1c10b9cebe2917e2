import type { Serving } from "../cli/parts.ts";
import type { ListenAddress } from "../config/config-file.ts";
import type { Surroundings } from "../config/environment.ts";
import type { RequestId } from "../base/id.ts";
import type { Home } from "../gate/home.ts";
import { operationsLog } from "../config/operations-log.ts";
import type { Settings } from "../config/settings.ts";
import type { Caller } from "../request/principal.ts";
import type { OpenedHome } from "../compose.ts";
import { DEMO } from "../demo/names.ts";
import type { DemoWorkspace } from "../demo/workspace.ts";
import { clientViews } from "./client-views.ts";
import type { ShimOptions } from "../transport/mcp/shim.ts";
import { keepSteward } from "./keep-steward.ts";
import { findRunning } from "./running.ts";
import { localToken } from "./tokens.ts";

// What `start`, `mcp` and `start --demo` do once their words are parsed.

export interface ServeParts {
  readonly version: string;
  readonly around: Surroundings;
  /** Where a person reads; stderr for `mcp`, whose stdout is the protocol. */
  readonly say: (line: string) => void;
  readonly now: () => number;
  readonly openHome: (settings: Settings) => Promise<OpenedHome>;
  /** Settings of a home by its directory alone. */
  readonly settingsOf: (home: string) => Promise<Settings>;
  readonly initHome: (settings: Settings) => Promise<unknown>;
  /** The text of what proves one request offline. */
  readonly receipt: (home: Home, request: RequestId) => Promise<string>;
  /** Where the thread that verifies the log lies. */
  readonly verifyWorker: URL;
  /** How this program is started again: `["node", "/…/countersign.js"]`. */
  readonly self: readonly string[];
}

export async function serve(parts: ServeParts, what: Exclude<Serving, { kind: "demo" }>): Promise<number> {
  switch (what.kind) {
    case "mcp":
      return serveMcp(parts, what.settings);
    case "shim":
      await shim({
        url: mcpEndpoint(what.url),
        token: what.token,
        ...(what.agent === null ? {} : { agent: what.agent }),
        log: operationsLog({ logLevel: "info" }),
      });
      return 0;
    case "start":
      return serveUntilStopped(parts, what.settings, null);
    case "start_demo": {
      const workspace = await prepareDemo(parts, {
        mcp: addressText(what.mcp ?? { host: "127.0.0.1", port: 7331 }),
        api: addressText(what.api ?? { host: "localhost", port: 7332 }),
      });
      return serveUntilStopped(parts, await parts.settingsOf(workspace.home), workspace);
    }
  }
}

// A shim and a gateway have little in common, and a process is one of them.
const shim = async (options: ShimOptions): Promise<void> =>
  (await import("../transport/mcp/shim.ts")).runShim(options);

/** `http://host:port` means its MCP endpoint. */
const mcpEndpoint = (url: string): string =>
  /^https?:\/\/[^/]+\/?$/.test(url) ? new URL("/mcp", url).href : url;

const addressText = ({ host, port }: ListenAddress): string =>
  `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** A demo home, made and with its policy adopted. */
export async function prepareDemo(
  parts: Pick<ServeParts, "around" | "settingsOf" | "initHome">,
  listeners: { readonly mcp: string; readonly api: string },
): Promise<DemoWorkspace> {
  const { createDemoWorkspace } = await import("../demo/workspace.ts");
  const workspace = await createDemoWorkspace({ ...listeners, around: parts.around });
  await parts.initHome(await parts.settingsOf(workspace.home));
  return workspace;
}

async function serveUntilStopped(
  parts: ServeParts,
  settings: Settings,
  demo: DemoWorkspace | null,
): Promise<number> {
  const home = await parts.openHome(settings);
  try {
    // Only here: an agent's host that starts `mcp` pays for no listener, no page and no API.
    const { startGateway } = await import("./gateway.ts");
    const gateway = await startGateway({ ...parts, home, settings });
    // The demo's own approver has no passkey yet; its policy adopts on save, so nobody has to sign for one.
    const invited = demo === null ? null : await home.credentials.inviteOnSave(DEMO.person);
    const enrolment = invited === null ? null : `${gateway.api}/enrol#${invited.code}`;
    for (const line of banner(parts, settings, gateway, demo, enrolment)) parts.say(line);
    await untilSignal();
    parts.say("stopping: held calls get their tickets, running ones end first");
    await gateway.close();
    return 0;
  } finally {
    await home.close();
  }
}

async function serveMcp(parts: ServeParts, settings: Settings): Promise<number> {
  const running = await findRunning(settings.dataDir, parts.now());
  if (running !== null) {
    await shim({
      url: running.mcp,
      token: await localToken(settings.dataDir, "csm"),
      ...(settings.stdio.agent === null ? {} : { agent: settings.stdio.agent }),
      log: operationsLog(settings),
    });
    return 0;
  }
  const { serveStdio } = await import("../transport/mcp/stdio.ts");
  const home = await parts.openHome(settings);
  const stopSteward = keepSteward(home);
  try {
    await serveStdio(home.gate, stdioCaller(settings, parts.around.account), {
      ...(await clientViews(settings, parts.now)),
      version: parts.version,
      log: home.log,
    });
    return 0;
  } finally {
    stopSteward();
    await home.close();
  }
}

/** Who a stdio client is: from flags and configuration, else the OS account. Never from what it says of itself. */
const stdioCaller = ({ stdio }: Settings, account: string): Caller => ({
  principal: stdio.principal === null ? { kind: "os", account } : { kind: "named", id: stdio.principal },
  agent: stdio.agent,
  transport: "stdio",
  client: null,
});

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
}

function banner(
  parts: ServeParts,
  settings: Settings,
  gateway: { readonly mcp: string; readonly api: string },
  demo: DemoWorkspace | null,
  enrolment: string | null,
): readonly string[] {
  const self = parts.self.map((word) => (/^[\w./:@=-]+$/.test(word) ? word : JSON.stringify(word))).join(" ");
  const [command = "countersign", ...args] = parts.self;
  const host = {
    mcpServers: {
      countersign: { command, args: [...args, "mcp", "--home", settings.home, "--agent", agentOf(settings)] },
    },
  };
  return [
    `countersign ${parts.version} serves ${settings.home}${demo === null ? "" : "  (a throwaway demo home)"}`,
    "",
    `  agents   ${gateway.mcp}   token: ${settings.dataDir}/keys/mcp.token`,
    `  people   ${gateway.api}   token: ${settings.dataDir}/keys/api.token`,
    ...(settings.isolation === "none"
      ? [
          "",
          "  isolation: none. Agents of this account can read keys and edit files here; docs/operating.md has the safer set-up.",
        ]
      : []),
    "",
    "Register it in Claude Desktop, Claude Code or Cursor (stdio):",
    `  ${JSON.stringify(host)}`,
    "",
    ...(demo === null
      ? ["Answer requests:", `  ${self} --home ${settings.home} pending`]
      : [
          `The demo's agent may deploy the service "${DEMO.service}" (tool deploy_service). What it asks for waits for you:`,
          `  ${self} --home ${settings.home} pending`,
          `  ${self} --home ${settings.home} approve <code> --key ${demo.approverKeyFile}`,
          ...(enrolment === null
            ? []
            : ["Or in the browser, with a passkey made here (the link works once):", `  ${enrolment}`]),
          "No agent at hand? See the whole story in one terminal:",
          "  npm run demo",
        ]),
    "",
    "Ctrl-C stops it; everything that was decided stays in the log.",
  ];
}

const agentOf = (settings: Settings): string => settings.stdio.agent ?? "<agent>";
