import { homedir, hostname, userInfo } from "node:os";

/** A snapshot of what the process was started with. Nothing outside config/ reads process.env. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute. */
  readonly cwd: string;
  readonly platform: NodeJS.Platform;
  /** The account's home directory, absolute; empty where the account has none. */
  readonly userHome: string;
  /** The OS account as policy.yaml names it under `people.<id>.os`: `1000@laptop`; on Windows `name@host`. */
  readonly account: string;
}

/** The one place where the process's environment is read. */
export function readSurroundings(): Surroundings {
  const user = accountOf();
  return {
    env: { ...process.env },
    cwd: process.cwd(),
    platform: process.platform,
    userHome: userHome(),
    account: `${user.uid >= 0 ? user.uid : user.username}@${hostname()}`,
  };
}

/** A container may run us under a number that no account of it has: then only the number is known. */
function accountOf(): { readonly uid: number; readonly username: string } {
  try {
    return userInfo();
  } catch (error) {
    const uid = process.getuid?.();
    if (uid === undefined) throw error;
    return { uid, username: "" };
  }
}

function userHome(): string {
  try {
    return homedir();
  } catch {
    return "";
  }
}

/** This account's own state directory for countersign: its default home, and what it remembers of logs. Absolute. */
export function stateDirectory(around: Surroundings): string {
  const { env, platform, userHome } = around;
  const absolute = (name: string): string | undefined => {
    const value = env[name];
    // XDG base directory specification 0.8: a relative path is to be ignored.
    return value !== undefined && isAbsolutePath(value, platform) ? value : undefined;
  };
  if (platform === "win32")
    return `${absolute("LOCALAPPDATA") ?? `${userHome}\\AppData\\Local`}\\countersign`;
  const xdg = absolute("XDG_STATE_HOME");
  if (xdg !== undefined) return `${xdg}/countersign`;
  if (platform === "darwin") return `${userHome}/Library/Application Support/countersign`;
  return `${userHome}/.local/state/countersign`;
}

const isAbsolutePath = (path: string, platform: NodeJS.Platform): boolean =>
  platform === "win32" ? /^([A-Za-z]:[\\/]|\\\\)/.test(path) : path.startsWith("/");

/** What programs we start may see: enough to find a terminal and the person's agent, nothing of ours. */
const PASSED_ON =
  /^(PATH|HOME|USER|LOGNAME|TERM|COLORTERM|LANG|LC_[A-Z]+|TMPDIR|TZ|SystemRoot|USERPROFILE|SSH_AUTH_SOCK|SSH_AGENT_PID|SSH_ASKPASS|SSH_ASKPASS_REQUIRE|SSH_SK_PROVIDER|SSH_SK_HELPER|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY)$/;

/** The environment for `ssh-keygen` and `ssh-add`. */
export const programEnv = (around: Surroundings): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(around.env).filter(
      (pair): pair is [string, string] => pair[1] !== undefined && PASSED_ON.test(pair[0]),
    ),
  );
