import { readFile, stat } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { parseDuration } from "../base/duration.ts";
import { formatSourceError } from "../base/yaml.ts";
import { CountersignError } from "../errors.ts";
import {
  FOREVER,
  LISTEN_EXPECTED,
  LOG_LEVELS,
  createConfigReader,
  parseListenAddress,
  type ConfigFile,
  type ConfigSchemas,
  type ListenAddress,
  type ReadConfig,
} from "./config-file.ts";
import type { Surroundings } from "./environment.ts";
import { DEFAULT_HOLD_MS, MOST_ROUNDS, PROVEN_HOLDS } from "./hold-times.ts";
import { oauthSettings } from "./oauth.ts";
import { CONFIG_FILE, locateHome, type HomeOrigin } from "./locate-home.ts";
import {
  DEFAULT_LIMITS,
  DEFAULT_RECORDS_MS,
  DEFAULT_PASSKEYS,
  DEFAULT_SESSIONS,
  type HoldSettings,
  type Limits,
  type OidcSettings,
  type PasskeySettings,
  type Settings,
} from "./settings.ts";

// Flag > environment > file > default. Every message names the ways to set the value.

/** What the command line may say. */
export interface SettingFlags {
  readonly home?: string | undefined;
  readonly agent?: string | undefined;
  readonly principal?: string | undefined;
  readonly mcp?: string | undefined;
  readonly api?: string | undefined;
  readonly hold?: string | undefined;
  readonly logLevel?: string | undefined;
}

export interface SettingsSource {
  readonly flags: SettingFlags;
  readonly around: Surroundings;
  /** A person sits at a terminal; only then does the nearest countersign.yaml count. */
  readonly interactive: boolean;
}

const DEFAULT_LISTENERS = {
  mcp: { host: "127.0.0.1", port: 7331 },
  api: { host: "localhost", port: 7332 },
} as const;

/**
 * Settings of the home that flags, environment and files point to. The home need not exist yet: see {@link demandHome}.
 * @throws CountersignError `CONFIG_INVALID` (with places, `details.errors`), `HOME_INSECURE`
 */
export async function loadSettings(
  from: SettingsSource,
  schemas: ConfigSchemas & { readonly readConfig?: ReadConfig },
): Promise<Settings> {
  const { flags, around } = from;
  const { home } = await locateHome(flags.home, around, from.interactive);
  const file = join(home, CONFIG_FILE);
  const text = await readConfig(file, home, around.platform);
  const readConfigText = schemas.readConfig ?? createConfigReader(schemas);
  const config = text === null ? null : parse(text, displayPath(file, around), readConfigText);
  const listener = (which: "mcp" | "api"): ListenAddress =>
    pick(from, which, LISTENER_ENV[which], parseListenAddress, LISTEN_EXPECTED) ??
    config?.listeners?.[which] ??
    DEFAULT_LISTENERS[which];
  const listeners = { mcp: listener("mcp"), api: listener("api") };
  if (listeners.mcp.port === listeners.api.port && listeners.mcp.port !== 0) {
    throw new CountersignError(
      "CONFIG_INVALID",
      `agents and people would share port ${listeners.mcp.port} (P1)`,
      {
        hint: "give them two: --mcp or listeners.mcp, --api or listeners.api",
      },
    );
  }
  const words = (text: string): string | undefined => (text.trim() === "" ? undefined : text);
  return {
    home,
    dataDir: join(home, "data"),
    configFile: text === null ? null : file,
    policyFile: resolve(home, config?.policy ?? "policy.yaml"),
    isolation: config?.isolation ?? "none",
    services: (config?.services ?? {}) as Settings["services"],
    listeners,
    stdio: {
      agent:
        pick(from, "agent", "COUNTERSIGN_AGENT", words, "expected an agent") ?? config?.stdio?.agent ?? null,
      principal:
        pick(from, "principal", "COUNTERSIGN_PRINCIPAL", words, "expected a principal") ??
        config?.stdio?.principal ??
        null,
    },
    clients: (config?.clients ?? []).map((client) => ({
      name: client.name,
      tokenSha256: client.token_sha256,
      agent: client.agent,
      principal: client.principal,
      effects: client.effects ?? null,
      expiresAt: client.expires ?? null,
    })),
    api: {
      tokens: (config?.api?.tokens ?? []).map((token) => ({
        name: token.name,
        tokenSha256: token.token_sha256,
        scopes: token.scopes,
        acts:
          token.principal === undefined || token.agent === undefined
            ? null
            : { principal: token.principal, agent: token.agent },
        expiresAt: token.expires ?? null,
      })),
      hosts: config?.api?.hosts ?? [],
    },
    hold: holdOf(from, config),
    passkeys: passkeysOf(config),
    sessions: {
      idleMs: config?.sessions?.idle ?? DEFAULT_SESSIONS.idleMs,
      absoluteMs: config?.sessions?.absolute ?? DEFAULT_SESSIONS.absoluteMs,
    },
    oidc: oidcOf(config, home),
    oauth: oauthSettings(config?.oauth),
    limits: limitsOf(config),
    retention: { recordsMs: recordsMsOf(config) },
    logLevel:
      pick(from, "logLevel", "COUNTERSIGN_LOG_LEVEL", logLevel, `expected one of ${LOG_LEVELS.join(", ")}`) ??
      config?.log_level ??
      "info",
  };
}

/**
 * The same settings, once it is sure that there is a home to open.
 * @throws CountersignError `HOME_NOT_FOUND`, naming every way to point at one
 */
export async function demandHome(settings: Settings, origin: HomeOrigin): Promise<Settings> {
  const hasData = await stat(settings.dataDir).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (hasData) return settings;
  throw new CountersignError(
    "HOME_NOT_FOUND",
    `no countersign home at ${settings.home} (${ORIGIN_WORDS[origin]})`,
    {
      hint: "point at one with --home DIR or COUNTERSIGN_HOME, or make one: countersign init",
    },
  );
}

const ORIGIN_WORDS: Readonly<Record<HomeOrigin, string>> = {
  flag: "named by --home",
  environment: "named by COUNTERSIGN_HOME",
  nearest: "the nearest countersign.yaml",
  state: "this account's default",
};

const LISTENER_ENV = { mcp: "COUNTERSIGN_MCP", api: "COUNTERSIGN_API" } as const;

const FLAG_WORDS: Readonly<Record<Exclude<keyof SettingFlags, "home">, string>> = {
  agent: "--agent",
  principal: "--principal",
  mcp: "--mcp",
  api: "--api",
  hold: "--hold",
  logLevel: "--log-level",
};

/** A value by flag, else by environment; undefined where neither names it. An empty variable counts as not set. */
function pick<T>(
  from: SettingsSource,
  flag: Exclude<keyof SettingFlags, "home">,
  variable: string,
  read: (text: string) => T | undefined,
  expected: string,
): T | undefined {
  const byFlag = from.flags[flag];
  const text = byFlag ?? (from.around.env[variable] || undefined);
  if (text === undefined) return undefined;
  const value = read(text);
  if (value !== undefined) return value;
  throw new CountersignError(
    "CONFIG_INVALID",
    `${byFlag === undefined ? variable : FLAG_WORDS[flag]}: ${expected}, got "${text}"`,
    { hint: `set it by ${FLAG_WORDS[flag]}, by ${variable}, or in ${CONFIG_FILE}` },
  );
}

const logLevel = (text: string): string | undefined => LOG_LEVELS.find((level) => level === text);

function parse(text: string, file: string, read: ReadConfig): ConfigFile {
  const parsed = read(text, file);
  if (parsed.ok) return parsed.value;
  const errors = parsed.error.map(formatSourceError);
  throw new CountersignError("CONFIG_INVALID", errors[0] ?? `${file} does not load`, {
    hint: `correct the file; a full example: docs/operating.md`,
    details: { errors },
  });
}

/** As short as can be told apart: relative to where the person stands, where it lies below. */
function displayPath(file: string, around: Surroundings): string {
  const near = relative(around.cwd, file);
  return near === "" || near.startsWith("..") ? file : near;
}

async function readConfig(file: string, home: string, platform: NodeJS.Platform): Promise<string | null> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
    throw new CountersignError("CONFIG_INVALID", `${file} cannot be read`, { cause: error });
  });
  if (text === null || platform === "win32") return text;
  // Whoever can write this file decides what runs. Group-writable is left alone: many systems give each user a group.
  for (const path of [file, home]) {
    const { mode } = await stat(path);
    const isSticky = (mode & 0o1000) !== 0;
    if ((mode & 0o002) !== 0 && !isSticky) {
      throw new CountersignError("HOME_INSECURE", `${path} can be written by every account on this machine`, {
        hint: `chmod o-w ${path}`,
      });
    }
  }
  return text;
}

function recordsMsOf(config: ConfigFile | null): number | null {
  const records = config?.retention?.records ?? DEFAULT_RECORDS_MS;
  return records === FOREVER ? null : records;
}

function limitsOf(config: ConfigFile | null): Limits {
  const limits = config?.limits ?? {};
  return {
    heldPerMinute: limits.held_per_minute ?? DEFAULT_LIMITS.heldPerMinute,
    readsPerMinute: limits.reads_per_minute ?? DEFAULT_LIMITS.readsPerMinute,
    openRequests: limits.open_requests ?? DEFAULT_LIMITS.openRequests,
    blobBytesPerDay: limits.blobs_per_day ?? DEFAULT_LIMITS.blobBytesPerDay,
    minFreeBytes: limits.min_free ?? DEFAULT_LIMITS.minFreeBytes,
    previewsAtOnce: limits.previews_at_once ?? DEFAULT_LIMITS.previewsAtOnce,
    previewsPerHour: limits.previews_per_hour ?? DEFAULT_LIMITS.previewsPerHour,
    previewTimeoutMs: limits.preview_timeout ?? DEFAULT_LIMITS.previewTimeoutMs,
    executeTimeoutMs: limits.execute_timeout ?? DEFAULT_LIMITS.executeTimeoutMs,
  };
}

/** What was proven of a client stands only where nobody said how long to hold: the operator's word is the whole of it. */
function holdOf(from: SettingsSource, config: ConfigFile | null): HoldSettings {
  const flagged = pick(from, "hold", "COUNTERSIGN_HOLD", parseDuration, "expected a duration such as 40s");
  const given = typeof config?.hold === "number" ? { default: config.hold } : (config?.hold ?? {});
  const proven = given.default === undefined ? PROVEN_HOLDS : {};
  return {
    ms: flagged ?? given.default ?? DEFAULT_HOLD_MS,
    clients: flagged === undefined ? { ...proven, ...given.clients } : {},
    rounds: given.rounds ?? MOST_ROUNDS,
    showPage: given.show_page ?? false,
  };
}

function passkeysOf(config: ConfigFile | null): PasskeySettings {
  const given = config?.passkeys ?? {};
  return {
    coolingMs: given.cooling ?? DEFAULT_PASSKEYS.coolingMs,
    invitationMs: given.invitation ?? DEFAULT_PASSKEYS.invitationMs,
    denyAaguids: given.deny_aaguids ?? DEFAULT_PASSKEYS.denyAaguids,
    rpId: given.rp_id ?? DEFAULT_PASSKEYS.rpId,
    origins: given.origins ?? DEFAULT_PASSKEYS.origins,
  };
}

function oidcOf(config: ConfigFile | null, home: string): OidcSettings | null {
  const given = config?.oidc;
  if (given === undefined) return null;
  return {
    issuer: given.issuer,
    clientId: given.client_id,
    clientSecretFile: given.client_secret_file === undefined ? null : resolve(home, given.client_secret_file),
    scopes: given.scopes ?? [],
    maxAgeMs: given.max_age ?? 300_000,
    groupsClaim: given.groups_claim ?? "groups",
    requireGroups: given.require_groups ?? [],
  };
}
