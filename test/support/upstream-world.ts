import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { canonicalCopy, type JsonObject } from "../../src/base/canonical-json.ts";
import { ok } from "../../src/base/result.ts";
import { createSshKeyPair, type SshKeyPair } from "../../src/base/ssh-signing-key.ts";
import { openHome, type OpenedHome } from "../../src/compose.ts";
import type { Limits, Settings } from "../../src/config/settings.ts";
import { acceptInto, compareUpstreams } from "../../src/upstream/compare.ts";
import { createFronting } from "../../src/upstream/fronting.ts";
import { EMPTY_LOCK, pinsOf, type Lock } from "../../src/upstream/lock.ts";
import { createPool, type PoolParts } from "../../src/upstream/pool.ts";
import { upstreamRegistration, type UpstreamRegistrations } from "../../src/upstream/registration.ts";
import { settingsIn } from "./settings.ts";
import { PEOPLE, policyText } from "./world.ts";

// A home that fronts servers which really run, over the real store, policy and desk.

export const FIXTURE = fileURLToPath(new URL("upstream-server.mjs", import.meta.url));

/** A third-party server as npm installs it. */
export const npmServer = (path: string): string =>
  fileURLToPath(new URL(`../../node_modules/${path}`, import.meta.url));

export interface FixtureOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** More of the registration. */
  readonly entry?: object;
}

export interface UpstreamWorld {
  readonly root: string;
  /** Where the fixture leaves what it did. */
  readonly dir: string;
  readonly keys: Readonly<Record<string, SshKeyPair>>;
  readonly home: OpenedHome;
  readonly settings: Settings;
  /** What is registered and accepted, as a gateway reads it. */
  registrations(): JsonObject;
  readonly said: readonly string[];
  /** One more handle on the same home, with connections of its own. */
  open(): Promise<OpenedHome>;
  /** Accepts whatever the servers list now, and adopts it. */
  accept(tools?: readonly string[]): Promise<void>;
  /** Registers other entries and adopts them. */
  register(entries: Readonly<Record<string, object>>): Promise<void>;
  effects(): readonly { readonly name: string; readonly args?: JsonObject; readonly meta?: JsonObject }[];
  starts(): readonly string[];
  /** Changes the definition of every tool of the fixture, while it runs. */
  changeDefinitions(note: string): void;
  close(): Promise<void>;
}

export const fixtureEntry = (dir: string, { env = {}, entry = {} }: FixtureOptions = {}): object => ({
  command: [process.execPath, FIXTURE],
  env: { FIXTURE_DIR: dir, ...env },
  environment: "prod",
  ...entry,
});

export const RULES = `rules:
  - id: vouched-reads-are-free
    match: { effect: read }
    verdict: allow
  - id: extras-are-free
    match: { tool: fix__extra_* }
    verdict: allow
  - id: lab-is-free
    match: { environment: lab }
    verdict: allow
`;

export async function makeUpstreamWorld(
  entries: (dir: string) => Readonly<Record<string, object>>,
  options: {
    readonly rules?: string;
    readonly pool?: Partial<PoolParts>;
    readonly limits?: Partial<Limits>;
    readonly accept?: boolean;
    /** Nobody reads what is logged. */
    readonly quiet?: boolean;
  } = {},
): Promise<UpstreamWorld> {
  const root = mkdtempSync(join(tmpdir(), "countersign-upstream-"));
  const dir = join(root, "fixture");
  mkdirSync(dir);
  const keys = Object.fromEntries(PEOPLE.map((id) => [id, createSshKeyPair(id)]));
  const homeDir = join(root, "home");
  mkdirSync(join(homeDir, "data"), { recursive: true, mode: 0o700 });
  const settings = settingsIn(homeDir, { limits: { previewsPerHour: 10_000, ...options.limits } });
  writeFileSync(
    settings.policyFile,
    policyText(keys, {
      rules: options.rules ?? RULES,
      head: "adopt: on_save\npolicy_change: { by: [security, sre], quorum: 2, assurance: A2 }",
    }),
  );
  const said: string[] = [];
  const log = pino(
    { level: options.quiet === true ? "silent" : "debug" },
    { write: (line: string) => void said.push(line) },
  );
  const parts = (): PoolParts & { readonly log: typeof log } => ({
    version: "test",
    env: { PATH: process.env["PATH"], HOME: root, COUNTERSIGN_SECRET: "of the gateway" },
    workRoot: join(root, "work"),
    ...options.pool,
    log,
  });
  const parse = (given: Readonly<Record<string, object>>): UpstreamRegistrations =>
    Object.fromEntries(
      Object.entries(given).map(([alias, entry]) => [alias, upstreamRegistration.parse(entry)]),
    );
  let upstreams = parse(entries(dir));
  let lock: Lock = EMPTY_LOCK;
  const registrations = (): JsonObject =>
    canonicalCopy({ upstreams, pins: pinsOf(lock, Object.keys(upstreams)) } as unknown as JsonObject);

  const accept = async (tools?: readonly string[]): Promise<void> => {
    const pool = createPool(parts());
    try {
      const compared = await compareUpstreams(upstreams, lock, pool, null);
      const wanted = compared
        .flatMap((one) => one.tools)
        .filter(({ state, tool }) => state !== "unusable" && (tools?.includes(tool) ?? true));
      await acceptInto(
        { read: () => Promise.resolve(lock), write: (next) => Promise.resolve(void (lock = next)) },
        upstreams,
        pool,
        wanted,
      );
    } finally {
      await pool.close();
    }
  };
  if (options.accept !== false) await accept();

  const opened: OpenedHome[] = [];
  const open = async (create = false): Promise<OpenedHome> => {
    const fronting = createFronting(parts());
    const home = await openHome(settings, {
      version: "test",
      log,
      create,
      makeTools: (given) => fronting.tools(given),
      closeTools: () => fronting.close(),
      readRegistrations: () => Promise.resolve(ok(registrations())),
    });
    opened.push(home);
    return home;
  };
  const home = await open(true);
  await home.adoption.adoptFirst();
  const adopt = async (): Promise<void> => {
    await home.adoption.checkFiles();
    for (const one of opened)
      await one.gate.wait("req_none", NOBODY, { holdMs: 0, signal: new AbortController().signal });
  };
  const read = (name: string): readonly string[] =>
    existsSync(join(dir, name)) ? readFileSync(join(dir, name), "utf8").trimEnd().split("\n") : [];
  return {
    root,
    dir,
    keys,
    home,
    settings,
    registrations,
    said,
    open: () => open(),
    async accept(tools) {
      await accept(tools);
      await adopt();
    },
    async register(given) {
      upstreams = parse(given);
      await adopt();
    },
    effects: () =>
      read("effects.jsonl").map((line) => JSON.parse(line) as ReturnType<UpstreamWorld["effects"]>[number]),
    starts: () => read("starts"),
    changeDefinitions: (note) => appendFileSync(join(dir, "note"), note),
    async close() {
      for (const one of opened) await one.close().catch(() => undefined);
      rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

const NOBODY = {
  principal: { kind: "named", id: "ana" },
  agent: "claude",
  transport: "stdio",
  client: null,
} as const;

/** The same fixture behind a URL. */
export async function startHttpFixture(
  dir: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly url: string; readonly child: ChildProcess; stop(): Promise<void> }> {
  const child = spawn(process.execPath, [FIXTURE], {
    env: { PATH: process.env["PATH"] ?? "", FIXTURE_DIR: dir, FIXTURE_HTTP: "1", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return {
    url: line.toString().trim(),
    child,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}
