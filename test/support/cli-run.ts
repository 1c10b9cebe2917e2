import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { z } from "zod";
import { err, ok } from "../../src/base/result.ts";
import { parseYaml } from "../../src/base/yaml.ts";
import type { CliParts, Serving } from "../../src/cli/parts.ts";
import { runCli } from "../../src/cli/run-cli.ts";
import type { Surroundings } from "../../src/config/environment.ts";
import type { Settings } from "../../src/config/settings.ts";
import type { Home } from "../../src/gate/home.ts";
import { verifyConsistency } from "./reference-merkle.ts";
import { scriptedPolicy, T0 } from "./scripted-home.ts";
import type { World } from "./world.ts";

export interface CliRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where commands run that open no home. */
export const ANYWHERE: Surroundings = {
  env: {},
  cwd: tmpdir(),
  platform: "linux",
  userHome: "/home/ana",
  account: "1000@laptop",
};

/** Beside a home of the tests, as ana's account, with an empty directory of her own. */
export async function aroundWorld({
  root,
  settings,
}: Pick<World, "root" | "settings">): Promise<Surroundings> {
  const userHome = join(root, "person");
  await mkdir(userHome);
  return {
    env: { COUNTERSIGN_HOME: settings.home },
    cwd: root,
    platform: "linux",
    userHome,
    account: "ana@test",
  };
}

/** Runs one command line in this process, with streams of its own. `typed` makes it a terminal with a person. */
export async function cliRun(
  argv: readonly string[],
  given: {
    readonly home?: Home;
    readonly around: Surroundings;
    /** Answers, one a line; absent: no terminal. */
    readonly typed?: readonly string[];
    readonly columns?: number;
    readonly stdoutIsTTY?: boolean;
    readonly stdin?: string;
    readonly parts?: Partial<CliParts>;
  },
): Promise<CliRun> {
  const isTerminal = given.typed !== undefined;
  const stdin = Object.assign(new PassThrough(), { isTTY: isTerminal });
  const stdout = Object.assign(new PassThrough(), {
    isTTY: given.stdoutIsTTY ?? false,
    columns: given.columns ?? 80,
  });
  const stderr = Object.assign(new PassThrough(), { isTTY: isTerminal });
  const out = collect(stdout);
  const error = collect(stderr);
  if (given.stdin !== undefined) stdin.end(given.stdin);
  if (given.typed !== undefined) answerEachQuestion(stderr, stdin, [...given.typed]);
  const exitCode = await runCli(argv, cliParts({ ...given, streams: { stdin, stdout, stderr } }));
  stdout.end();
  stderr.end();
  return { exitCode, stdout: out(), stderr: error() };
}

export function cliParts(given: {
  readonly home?: Home;
  readonly around: Surroundings;
  readonly streams: CliParts["streams"];
  readonly parts?: Partial<CliParts>;
}): CliParts {
  const absent = (what: string) => (): never => {
    throw new Error(`this test has no ${what}`);
  };
  const { home } = given;
  return {
    version: "0.0.0-test",
    self: ["/opt/node/bin/node", "/opt/countersign/dist/countersign.js"],
    around: given.around,
    streams: given.streams,
    clock: { now: () => T0, monotonic: () => 0 },
    interrupted: new AbortController().signal,
    servicesSchema: z.record(z.string(), z.record(z.string(), z.string())),
    workspacesSchema: z.strictObject({}),
    openHome: home === undefined ? absent("home to open") : async () => home,
    gatewayOf: async () => null,
    initHome: absent("home to make"),
    serve: absent("gateway to serve"),
    verifyConsistency,
    policyTools: {
      // Loads what is YAML and has a version: enough to see which file and text a command hands over.
      load(text, file) {
        const yaml = parseYaml(text, file);
        if (!yaml.ok) return yaml;
        const { value } = yaml.value;
        if (typeof value !== "object" || value === null || !("version" in value)) {
          return err([yaml.value.error(["version"], "missing; expected 1")]);
        }
        return ok({ policy: scriptedPolicy({ people: [], groups: {} }), notes: [] });
      },
      test: absent("policy tests"),
      readCall: absent("calls to read"),
    },
    logTools: {
      verifyLog: absent("log to verify"),
      buildReceipt: absent("receipt to build"),
      verifyReceipt: absent("receipt to verify"),
    },
    readRegistrations: async () => ok({}),
    toolChecks: () => Promise.resolve([]),
    ...given.parts,
  };
}

/** Serves nothing, and remembers what was asked of it. */
export function recordServing(): { readonly asked: Serving[]; readonly serve: CliParts["serve"] } {
  const asked: Serving[] = [];
  return {
    asked,
    serve: async (what) => {
      asked.push(what);
      return 0;
    },
  };
}

export const settingsOf = (what: Serving | undefined): Settings => {
  if (what === undefined || !("settings" in what)) throw new Error("nothing was served with settings");
  return what.settings;
};

function collect(stream: PassThrough): () => string {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString("utf8");
}

/** Types the next answer whenever a question (a write without a newline at its end) was asked. */
function answerEachQuestion(stderr: PassThrough, stdin: PassThrough, answers: string[]): void {
  stderr.on("data", (chunk: Buffer) => {
    if (!/[\]:] $/.test(chunk.toString("utf8"))) return;
    const answer = answers.shift();
    if (answer === undefined) stdin.end();
    else stdin.write(`${answer}\n`);
  });
}
