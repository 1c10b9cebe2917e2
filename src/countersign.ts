#!/usr/bin/env node
import "./config/read-schemas-plainly.ts";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import {
  createDeployService,
  SERVICE_NAME,
  serviceRegistration,
  sweepDeployMirrors,
  type DeployServiceOptions,
  type ServiceRegistration,
} from "../tools/deploy_service/tool.ts";
import type { TerraformOptions } from "../tools/apply_infrastructure/tool.ts";
import { WORKSPACE_NAME, workspaceRegistration } from "../tools/terraform/registration.ts";
import { canonicalCopy, type JsonObject } from "./base/canonical-json.ts";
import { systemClock } from "./base/clock.ts";
import { later } from "./base/later.ts";
import { ok, type Result } from "./base/result.ts";
import { formatSourceError } from "./base/yaml.ts";
import { isMcp } from "./cli/is-mcp.ts";
import type { CliParts, Serving } from "./cli/parts.ts";
import { runCli } from "./cli/run-cli.ts";
import { createTerminal } from "./cli/terminal.ts";
import { openHome, type OpenedHome } from "./compose.ts";
import { createConfigReader } from "./config/config-file.ts";
import { CountersignError } from "./errors.ts";
import { readSurroundings } from "./config/environment.ts";
import { readProposed } from "./config/read-proposed.ts";
import type { Check } from "./doctor/check.ts";
import { loadSettings } from "./config/load-settings.ts";
import { operationsLog } from "./config/operations-log.ts";
import type { Settings } from "./config/settings.ts";
import { toolFacts } from "./gate/regime.ts";
import { decodeEntry } from "./log/encode.ts";
import { fromHex } from "./log/merkle.ts";
import { verifyConsistency } from "./log/merkle-proof.ts";
import { loadPolicy } from "./policy/load.ts";
import { readTestCall, runPolicyTests } from "./policy/suite.ts";
import type { ServeParts } from "./serve/serve.ts";
import { createDurableFile } from "./store/embedded/durable-file.ts";
import type { Tool } from "./tool.ts";
import type { Fronting } from "./upstream/fronting.ts";
import { upstreamsSchema, type UpstreamRegistrations } from "./upstream/registration.ts";
import { VERSION } from "./version.ts";

// The command `countersign`: gathers what the process is given and hands it to the command line.

const around = readSurroundings();
const streams = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
// Who reads may have seen enough (`| head`). What has an effect goes on to its end; what only follows stops.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  interrupted.abort();
});

const servicesSchema = later(() =>
  z.record(
    z.string().regex(SERVICE_NAME, "a service name in lower case is expected, such as web"),
    serviceRegistration,
  ),
);

const workspacesSchema = later(() =>
  z.record(
    z.string().regex(WORKSPACE_NAME, "a workspace name in lower case is expected, such as network-prod"),
    workspaceRegistration,
  ),
);

const schemas = { servicesSchema, workspacesSchema, upstreamsSchema };
const readConfig = createConfigReader(schemas);

const deployOptions = (registrations: JsonObject, dataDir: string): DeployServiceOptions => ({
  services: (registrations["services"] ?? {}) as unknown as Readonly<Record<string, ServiceRegistration>>,
  stateDir: join(dataDir, "tools", "deploy_service"),
  env: around.env,
});

const terraformOptions = (registrations: JsonObject, dataDir: string): TerraformOptions => ({
  workspaces: (registrations["workspaces"] ?? {}) as unknown as TerraformOptions["workspaces"],
  stateDir: join(dataDir, "tools", "terraform"),
  env: around.env,
});

/** Loaded where a workspace is registered, and by whoever asks what there could be. */
const terraformTools = async (options: TerraformOptions): Promise<readonly Tool[]> => {
  const { createPlanInfrastructure } = await import("../tools/plan_infrastructure/tool.ts");
  const { createApplyInfrastructure } = await import("../tools/apply_infrastructure/tool.ts");
  return [createPlanInfrastructure(options), createApplyInfrastructure(options)];
};

/** The built-in tools over adopted registrations. Those of terraform are there once a workspace is. */
const makeOwnTools = async (registrations: JsonObject, dataDir: string): Promise<readonly Tool[]> => {
  const terraform = terraformOptions(registrations, dataDir);
  return [
    createDeployService(deployOptions(registrations, dataDir)),
    ...(Object.keys(terraform.workspaces).length > 0 ? await terraformTools(terraform) : []),
  ];
};
// A policy may speak of every tool that there could be.
const readBuiltinFacts = async (): Promise<ReturnType<typeof toolFacts>> =>
  toolFacts([
    ...(await makeOwnTools({}, around.cwd)),
    ...(await terraformTools(terraformOptions({}, around.cwd))),
  ]);

/** The registrations as the operator's file has them now. */
const readRegistrations: CliParts["readRegistrations"] = async ({ configFile }) => {
  if (configFile === null) return { ok: true, value: { services: {} } };
  const text = await readProposed(configFile);
  if (!text.ok) return text;
  const parsed = readConfig(text.value, configFile);
  if (!parsed.ok) return { ok: false, error: parsed.error.map(formatSourceError) };
  const services = (parsed.value.services ?? {}) as JsonObject;
  const workspaces = (parsed.value.workspaces ?? {}) as JsonObject;
  // Left out where there are none, so that what was adopted before there were any stays what it is.
  const named = Object.keys(workspaces).length > 0 ? { workspaces } : {};
  const upstreams = (parsed.value.upstreams ?? {}) as JsonObject;
  const fronted = Object.keys(upstreams).length > 0 ? await readFronted(configFile, upstreams) : ok({});
  if (!fronted.ok) return fronted;
  return ok(canonicalCopy<JsonObject>({ services, ...named, ...fronted.value }));
};

/** Nothing of this is loaded where no server is fronted. */
const readFronted = async (
  configFile: string,
  upstreams: JsonObject,
): Promise<Result<JsonObject, readonly string[]>> => {
  const { readUpstreamRegistrations } = await import("./upstream/read-registrations.ts");
  const names = new Set((await readBuiltinFacts()).map(({ name }) => name));
  return readUpstreamRegistrations(configFile, upstreams, () => names);
};

/** Each fronted server is reached, and what it lists is what was accepted. */
const checkUpstreams: Check = {
  name: "upstreams",
  needs: "settings",
  look: async (patient) => {
    const registrations = await patient.registrations();
    if (!registrations.ok) return [];
    if (registrations.value["upstreams"] === undefined)
      return [{ status: "ok", says: "none are registered" }];
    return (await import("./upstream/examine.ts")).examineUpstreams(patient, registrations.value, VERSION);
  },
};

const open = (settings: Settings, create = false): Promise<OpenedHome> => {
  let fronting: Promise<Fronting> | null = null;
  const front = (): Promise<Fronting> =>
    (fronting ??= import("./upstream/fronting.ts").then(({ createFronting }) =>
      createFronting({
        version: VERSION,
        env: around.env,
        workRoot: join(settings.dataDir, "tools", "upstream"),
        log: operationsLog(settings),
      }),
    ));
  return openHome(settings, {
    version: VERSION,
    create,
    async makeTools(registrations, dataDir) {
      const own = await makeOwnTools(registrations, dataDir);
      if (registrations["upstreams"] === undefined) return own;
      const names = new Set(own.map(({ name }) => name));
      return [...own, ...(await front()).tools(registrations, names)];
    },
    closeTools: async () => (await fronting)?.close(),
    // Plans live for a day; what was fetched for older ones nobody can run any more.
    async tidyTools(registrations, dataDir) {
      const sweep = { olderThan: systemClock.now() - 2 * 86_400_000, signal: AbortSignal.timeout(600_000) };
      await sweepDeployMirrors({ ...deployOptions(registrations, dataDir), ...sweep });
      const terraform = terraformOptions(registrations, dataDir);
      if (Object.keys(terraform.workspaces).length === 0) return;
      const { sweepTerraform } = await import("../tools/apply_infrastructure/tool.ts");
      await sweepTerraform({ ...terraform, ...sweep });
    },
    readRegistrations,
    onFault: () => process.exit(70),
  });
};

const initHome: CliParts["initHome"] = async (settings) => {
  const home = await open(settings, true);
  try {
    const revision = await home.adoption.adoptFirst();
    return { log: home.store.logId, key: await verifierKeyOf(home), revision };
  } finally {
    await home.close();
  }
};

/** The log's public key, as its first entry has it. */
async function verifierKeyOf(home: OpenedHome): Promise<string> {
  for await (const { bytes } of home.store.lines(0)) {
    const opened = decodeEntry(new TextDecoder().decode(bytes), 0);
    if (opened.ok && opened.value.kind === "log.opened") return opened.value.data.key;
    break;
  }
  throw new CountersignError("LOG_CORRUPT", "the first entry does not open the log");
}

/** RFC 6962 consistency over roots and proofs as they stand in checkpoints: hex. */
const extendsHead: CliParts["verifyConsistency"] = (older, newer, proof) => {
  const hashes = proof.map(fromHex);
  const [from, to] = [fromHex(older.root.slice(7)), fromHex(newer.root.slice(7))];
  if (from === undefined || to === undefined || hashes.includes(undefined)) return false;
  return verifyConsistency(older.size, newer.size, from, to, hashes as string[]);
};

// Loaded when asked for: whoever serves or decides verifies nothing.
const verifying = () => import("./proofs.ts");
const logTools: CliParts["logTools"] = {
  verifyLog: async (directory, options) => (await verifying()).verifyLog(directory, options),
  buildReceipt: async (home, request) => (await verifying()).receiptOf(home, request),
  verifyReceipt: async (text, options) => (await verifying()).checkReceipt(text, options),
};

// As source this file is the command; the build puts start.ts before it.
const entry = new URL(
  import.meta.url.endsWith(".ts") ? "./countersign.ts" : "./countersign.js",
  import.meta.url,
);
const self = [process.execPath, resolve(fileURLToPath(entry))];

const serveParts: ServeParts = {
  version: VERSION,
  around,
  say: (line) => void process.stdout.write(`${line}\n`),
  now: () => systemClock.now(),
  openHome: (settings) => open(settings),
  settingsOf: (home) =>
    loadSettings({ flags: { home }, around, interactive: false }, { ...schemas, readConfig }),
  initHome,
  receipt: (home, request) => logTools.buildReceipt(home, request),
  // Beside this file, as source or as the build left it.
  verifyWorker: new URL(
    import.meta.url.endsWith(".ts") ? "./serve/verify-worker.ts" : "./verify-worker.js",
    import.meta.url,
  ),
  self,
};

async function serve(what: Serving): Promise<number> {
  if (what.kind !== "demo") return (await import("./serve/serve.ts")).serve(serveParts, what);
  const terminal = createTerminal(streams, { colour: true, env: around.env });
  const { playDemo } = await import("./demo/story.ts");
  return playDemo({
    ...serveParts,
    auto: what.auto,
    width: terminal.width,
    paint: terminal.paint,
    ask: (question) => terminal.ask(question),
    logTools,
  });
}

// Node's own code for a program that ended before it was done; a script has no `await` of its own to tell it by.
process.exitCode = 13;
void run(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});

async function run(argv: readonly string[]): Promise<number> {
  // `mcp` asks of no tools but those that it runs: to a question about others it would say that there are none.
  const builtinFacts = isMcp(argv) ? [] : await readBuiltinFacts();
  return runCli(argv, {
    version: VERSION,
    self,
    around,
    streams,
    clock: systemClock,
    interrupted: interrupted.signal,
    ...schemas,
    readConfig,
    openHome: (settings) => open(settings),
    gatewayOf: async ({ dataDir }) =>
      (await import("./serve/running.ts")).findRunning(dataDir, systemClock.now()),
    initHome,
    serve,
    verifyConsistency: extendsHead,
    policyTools: {
      load(text, file, tools = builtinFacts) {
        const loaded = loadPolicy(text, { file, tools });
        return loaded.ok
          ? { ok: true, value: { policy: loaded.value, notes: loaded.value.warnings } }
          : loaded;
      },
      test: (policy, tools = builtinFacts) => runPolicyTests(policy, tools),
      readCall: (call, policy, tools = builtinFacts) => readTestCall(call, policy, tools),
    },
    logTools,
    async toolFacts(settings) {
      const registrations = await readRegistrations(settings);
      if (!registrations.ok || registrations.value["upstreams"] === undefined) return builtinFacts;
      const { makeUpstreamTools } = await import("./upstream/make-tools.ts");
      const { tools } = makeUpstreamTools(registrations.value, () => Promise.reject(new Error("not called")));
      return [...builtinFacts, ...toolFacts(tools)];
    },
    upstreamTools: {
      async use(settings, work) {
        const { withLiveUpstreams } = await import("./upstream/live.ts");
        const registrations = await readRegistrations(settings);
        if (!registrations.ok) {
          const [first = "countersign.yaml does not load"] = registrations.error;
          throw new CountersignError("CONFIG_INVALID", first, { details: { errors: registrations.error } });
        }
        return withLiveUpstreams(
          {
            ...{
              version: VERSION,
              env: around.env,
              log: operationsLog({ logLevel: "error" }),
            },
            configFile: settings.configFile,
            registrations: (registrations.value["upstreams"] ?? {}) as unknown as UpstreamRegistrations,
            createFile: (parts) => createDurableFile({ ...parts, whenChanged: "refuse" }),
          },
          work,
        );
      },
    },
    readRegistrations,
    // One line a tool that can have something wrong with it.
    toolChecks: async () => [...(await verifying()).toolChecks, checkUpstreams],
  });
}
