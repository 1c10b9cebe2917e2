import { spawn, type ChildProcess } from "node:child_process";

// What is left of fronted servers when the gateway is killed at once. A server that is a command ends when its input does;
// one that does not would go on with whatever it does, and with its credentials, for nobody.
//
// So one small process of ours holds the other end of a pipe and the numbers of the groups. The pipe breaks when the
// gateway ends, however it ends; then it waits a moment, and kills the groups that are left. It knows a group again by
// when its first process began, because numbers are given out anew. Where there are no process groups there is none.

export interface Watchdog {
  watch(group: number): void;
  forget(group: number): void;
  close(): void;
}

/** Milliseconds a server has to end by itself, as it would have from a gateway that stops. */
export const WATCHDOG_GRACE_MS = 2_000;

const SCRIPT = `
const { readFileSync } = require("node:fs");
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => undefined);
const begun = (pid) => {
  try {
    const text = readFileSync("/proc/" + pid + "/stat", "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return null;
  }
};
const groups = new Map();
let rest = "";
let isOver = false;
const end = () => {
  if (isOver) return;
  isOver = true;
  setTimeout(() => {
    for (const [pid, since] of groups) {
      const now = begun(pid);
      if (now !== null && now !== since) continue;
      try {
        process.kill(-pid, "SIGKILL");
      } catch {}
    }
    process.exit(0);
  }, groups.size === 0 ? 0 : ${WATCHDOG_GRACE_MS});
};
process.stdin.setEncoding("latin1");
process.stdin.on("data", (text) => {
  const lines = (rest + text).split("\\n");
  rest = lines.pop();
  for (const line of lines) {
    const pid = Number(line.slice(1));
    if (!(pid > 1)) continue;
    if (line[0] === "+") groups.set(pid, begun(pid));
    else groups.delete(pid);
  }
});
process.stdin.on("end", end).on("close", end).on("error", end);
`;

/** A watchdog whose process begins with the first group. */
export function createWatchdog(): Watchdog {
  const groups = new Set<number>();
  let dog: ChildProcess | null = null;

  const tell = (line: string): void => void dog?.stdin?.write(`${line}\n`);
  const start = (): void => {
    const started = spawn(process.execPath, ["--max-old-space-size=16", "-e", SCRIPT], {
      cwd: "/",
      env: {},
      stdio: ["pipe", "ignore", "ignore"],
      // Not of our group: what is typed at our terminal must not end it before us.
      detached: true,
    });
    const lost = (): void => {
      if (dog === started) dog = null;
    };
    started.once("error", lost);
    started.once("exit", lost);
    started.stdin.on("error", lost);
    started.unref();
    (started.stdin as unknown as { unref?: () => void }).unref?.();
    dog = started;
  };
  return {
    watch(group) {
      if (process.platform === "win32") return;
      groups.add(group);
      if (dog !== null) return tell(`+${group}`);
      start();
      for (const one of groups) tell(`+${one}`);
    },
    forget(group) {
      if (groups.delete(group)) tell(`-${group}`);
    },
    close() {
      groups.clear();
      dog?.stdin?.end();
      dog = null;
    },
  };
}
