import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isAbsolute } from "node:path";
import { ToolRefusal } from "../../src/tool.ts";
import { runCommand, startCommand, type CommandEnd, type RunningCommand } from "./command.ts";
import { protocolOf, type RepositoryAccess } from "./repository.ts";

// Git, run so that nothing an agent can write is configuration (P5).
//
// The source repository is hostile: its config, hooks, attributes, filters, alternates, replacements and grafts are an
// attacker's. It is only ever spoken to through upload-pack, also where it is a directory here, and git runs on our own
// bare mirror with an environment stated whole. Attacks and what stops each:
//   system and user config, HOME, GIT_* of the gateway   not inherited; GIT_CONFIG_* point nowhere
//   hooks, fsmonitor, filters, textconv, external diff    need a work tree or `git diff`; neither is used; hooks off
//   uploadpack.packObjectsHook, trace2, safe.directory    git takes them from protected configuration only
//   promisor remotes in the source (lazy fetch)           GIT_NO_LAZY_FETCH, and GIT_ALLOW_PROTOCOL names one protocol
//   replace refs, grafts                                  not fetched; GIT_NO_REPLACE_OBJECTS; every id is re-hashed
//   redirects, proxies, ssh config, credential helpers    off
//   a repository that hangs, floods or grows              process group with deadline, output caps, size watch

export interface GitParts {
  /** Program; a bare name is looked up in the fixed PATH below. */
  readonly binary: string;
  /** Directory of our own for an empty HOME. */
  readonly stateDir: string;
  readonly timeoutMs: number;
}

export interface GitRun {
  readonly args: readonly string[];
  /** The mirror; absent for commands that need none. */
  readonly gitDir?: string;
  readonly remote?: RemoteAccess;
  readonly signal: AbortSignal;
  readonly input?: string | Uint8Array;
  readonly stdoutBytes?: number;
}

/** How one registered repository is reached. */
export interface RemoteAccess {
  readonly url: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly config: readonly (readonly [string, string])[];
}

export interface Git {
  run(options: GitRun): Promise<CommandEnd & { readonly stdout: Buffer }>;
  /** For `cat-file --batch`: the caller talks to it and stops it. */
  start(options: GitRun): RunningCommand;
  remote(registration: RepositoryAccess, password: string | null): RemoteAccess;
  /** @throws ToolRefusal `git_unusable` where git is missing or too old to be safe. */
  ensureUsable(signal: AbortSignal): Promise<void>;
}

const PATH = "/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin:/usr/sbin:/sbin";

const CONFIG: readonly (readonly [string, string])[] = [
  ["core.hooksPath", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["core.attributesFile", "/dev/null"],
  ["core.useReplaceRefs", "false"],
  ["core.commitGraph", "false"],
  ["credential.helper", ""],
  ["fetch.fsckObjects", "true"],
  ["transfer.fsckObjects", "true"],
  ["fetch.unpackLimit", "1"],
  ["fetch.writeCommitGraph", "false"],
  ["fetch.recurseSubmodules", "false"],
  ["submodule.recurse", "false"],
  ["transfer.credentialsInUrl", "die"],
  ["transfer.bundleURI", "false"],
  ["http.followRedirects", "false"],
  ["http.proxy", ""],
  ["http.lowSpeedLimit", "1000"],
  ["http.lowSpeedTime", "30"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
];

// Releases in which upload-pack can be made to run a promisor remote of the repository it serves are older
// (CVE-2024-32004, CVE-2024-32465).
const SAFE_SINCE: Readonly<Record<string, number>> = {
  "2.39": 4,
  "2.40": 2,
  "2.41": 1,
  "2.42": 2,
  "2.43": 4,
  "2.44": 1,
  "2.45": 1,
};

/** True for a git that may be pointed at a hostile repository. */
export function isSafeGitVersion(text: string): boolean {
  const version = /^git version (\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (version === null) return false;
  const [major, minor, patch] = [Number(version[1]), Number(version[2]), Number(version[3] ?? 0)];
  if (major > 2 || (major === 2 && minor > 45)) return true;
  const since = SAFE_SINCE[`${major}.${minor}`];
  return since !== undefined && patch >= since;
}

export function createGit(parts: GitParts): Git {
  const home = join(parts.stateDir, "empty-home");
  let usable: Promise<void> | undefined;

  const environment = (options: GitRun): Record<string, string> => {
    const config = [...CONFIG, ...(options.remote?.config ?? [])];
    const env: Record<string, string> = {
      PATH,
      HOME: home,
      XDG_CONFIG_HOME: home,
      LC_ALL: "C",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_SYSTEM: "/dev/null",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_ATTR_NOSYSTEM: "1",
      GIT_TERMINAL_PROMPT: "0",
      GIT_ASKPASS: "/bin/false",
      GIT_SSH_COMMAND: "/bin/false",
      GIT_PAGER: "cat",
      GIT_NO_REPLACE_OBJECTS: "1",
      GIT_NO_LAZY_FETCH: "1",
      GIT_OPTIONAL_LOCKS: "0",
      GIT_CEILING_DIRECTORIES: "/",
      // No transport at all but for a command that has a remote, and then its own only.
      GIT_ALLOW_PROTOCOL: "",
      GIT_PROTOCOL_FROM_USER: "0",
      GIT_CONFIG_COUNT: String(config.length),
      ...options.remote?.env,
    };
    config.forEach(([key, value], i) => {
      env[`GIT_CONFIG_KEY_${i}`] = key;
      env[`GIT_CONFIG_VALUE_${i}`] = value;
    });
    if (options.gitDir !== undefined) env["GIT_DIR"] = options.gitDir;
    return env;
  };
  const command = (options: GitRun) => ({
    argv: [parts.binary, ...options.args],
    env: environment(options),
    cwd: home,
    signal: options.signal,
    timeoutMs: parts.timeoutMs,
  });
  const checkVersion = async (): Promise<void> => {
    await mkdir(home, { recursive: true, mode: 0o700 });
    const options = { args: ["--version"], signal: AbortSignal.timeout(parts.timeoutMs) };
    const found = await runCommand({ ...command(options), stdoutBytes: 1_024 }).catch((cause: unknown) => {
      throw new ToolRefusal("git_unusable", `${parts.binary}: ${String(cause)}`);
    });
    const version = found.stdout.toString("utf8").trim();
    if (!isSafeGitVersion(version)) {
      throw new ToolRefusal(
        "git_unusable",
        `"${version}" is too old: 2.39.4 or a later fixed release is needed`,
      );
    }
  };

  return {
    run: (options) =>
      runCommand({
        ...command(options),
        stdoutBytes: options.stdoutBytes ?? 1024 * 1024,
        ...(options.input === undefined ? {} : { input: options.input }),
      }),
    start: (options) => startCommand(command(options)),
    remote: (registration, password) => remoteAccess(parts.binary, registration, password),
    async ensureUsable(signal) {
      signal.throwIfAborted();
      usable ??= checkVersion();
      await usable.catch((error: unknown) => {
        usable = undefined;
        throw error;
      });
    },
  };
}

function remoteAccess(binary: string, registration: RepositoryAccess, password: string | null): RemoteAccess {
  const protocol = protocolOf(registration.repository);
  const env: Record<string, string> = { GIT_ALLOW_PROTOCOL: protocol };
  const config: (readonly [string, string])[] = [];
  switch (protocol) {
    case "file":
      return {
        url: isAbsolute(registration.repository)
          ? pathToFileURL(registration.repository).href
          : registration.repository,
        // The other side runs here, as us, in the agent's repository. What we set with -c outranks that repository's
        // own config; GIT_CONFIG_COUNT would not reach it. The owner of the repository need not be us.
        args: [
          `--upload-pack=GIT_NO_REPLACE_OBJECTS=1 ${shellQuote(binary)} -c safe.directory='*' -c core.fsmonitor=false ` +
            `-c core.hooksPath=/dev/null -c core.attributesFile=/dev/null -c core.alternateRefsCommand=false ` +
            `-c uploadpack.allowFilter=false -c gc.auto=0 upload-pack --timeout=60`,
        ],
        env,
        config,
      };
    case "ssh":
      if (registration.ssh !== undefined) {
        env["GIT_SSH_VARIANT"] = "ssh";
        env["GIT_SSH_COMMAND"] = sshCommand(registration.ssh.identity, registration.ssh.known_hosts);
      }
      return { url: registration.repository, args: [], env, config };
    case "https":
      if (registration.credential !== undefined && password !== null) {
        const basic = Buffer.from(`${registration.credential.user}:${password}`).toString("base64");
        // Through the environment: the arguments of a process can be read by every account.
        config.push([`http.${registration.repository}.extraHeader`, `Authorization: Basic ${basic}`]);
      }
      if (registration.ca !== undefined) config.push(["http.sslCAInfo", registration.ca]);
      return { url: registration.repository, args: [], env, config };
  }
}

function sshCommand(identity: string, knownHosts: string): string {
  const options = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    `UserKnownHostsFile="${knownHosts}"`,
    "GlobalKnownHostsFile=/dev/null",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PasswordAuthentication=no",
    "PermitLocalCommand=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ConnectTimeout=20",
  ];
  return ["ssh", "-F", "/dev/null", "-i", identity, ...options.flatMap((option) => ["-o", option])]
    .map(shellQuote)
    .join(" ");
}

const shellQuote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
