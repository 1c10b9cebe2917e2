import { execFileSync, spawn } from "node:child_process";

/** A program in a terminal of its own, driven as a person would: wait for words, then type. */
export interface PtyRun {
  readonly exitCode: number | null;
  /** All that stood on the screen, as it was written. */
  readonly screen: string;
}

/** Why no terminal can be made here; null where it can. util-linux's `script` is needed: BSD's takes other flags. */
export function missingPty(): string | null {
  try {
    const version = execFileSync("script", ["--version"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return version.includes("util-linux") ? null : "script is not the one of util-linux";
  } catch {
    return "script (util-linux) is not installed";
  }
}

/** Runs `command` (words, no shell syntax) in a pseudo-terminal; each step types its answer once its words appear. */
export function inPty(
  command: readonly string[],
  steps: readonly { readonly waitFor: RegExp; readonly type: string }[],
  options: {
    readonly env: Readonly<Record<string, string>>;
    readonly cwd: string;
    readonly timeoutMs?: number;
  },
): Promise<PtyRun> {
  const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  return new Promise((resolve, reject) => {
    const child = spawn("script", ["-qefc", `stty cols 80 rows 50; exec ${quoted}`, "/dev/null"], {
      env: { ...options.env, SHELL: "/bin/sh", TERM: "xterm-256color" },
      cwd: options.cwd,
      stdio: ["pipe", "pipe", "pipe"],
    });
    let screen = "";
    let seen = 0;
    const left = [...steps];
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(
        new Error(`nothing more happened; waiting for ${String(left[0]?.waitFor)}; the screen:\n${screen}`),
      );
    }, options.timeoutMs ?? 30_000);
    const look = (): void => {
      const step = left[0];
      const match = step?.waitFor.exec(screen.slice(seen));
      if (step === undefined || match === undefined || match === null) return;
      seen += match.index + match[0].length;
      left.shift();
      // ssh-keygen throws away what was typed before it switched the echo off.
      setTimeout(() => {
        child.stdin.write(`${step.type}\r`);
        look();
      }, 150);
    };
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (chunk: string) => {
      screen += chunk;
      look();
    });
    child.once("error", reject);
    child.once("close", (exitCode) => {
      clearTimeout(timer);
      if (left.length > 0)
        reject(new Error(`${String(left[0]?.waitFor)} never came; the screen:\n${screen}`));
      else resolve({ exitCode, screen });
    });
  });
}
