import { spawn, type ChildProcessByStdio } from "node:child_process";
import type { Readable, Writable } from "node:stream";

// Programs, run in a process group of their own: whatever they start ends with them. No shell, a stated environment,
// a deadline, and caps on what they print.

export interface CommandOptions {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** Bytes of stderr that are kept; the rest is dropped. */
  readonly stderrBytes?: number;
}

/** Why a command was stopped by us; null: it ended by itself. */
export type Stopped = "aborted" | "timeout" | "output" | null;

export interface CommandEnd {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly stopped: Stopped;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Kills the whole group. */
  stop(why: Exclude<Stopped, null>): void;
  /** Resolves when the program has ended and its group was killed. Rejects only where it could not be started. */
  readonly end: Promise<CommandEnd>;
}

/** Starts a program. Nothing of its group outlives `end`. */
export function startCommand(options: CommandOptions): RunningCommand {
  const { argv, signal } = options;
  let stopped: Stopped = null;
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(argv[0] ?? "", argv.slice(1), {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    shell: false,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const killGroup = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch (error) {
      // ESRCH: the group is empty. EPERM (macOS): only zombies are left in it.
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "ESRCH" && code !== "EPERM") throw error;
    }
  };
  const stop = (why: Exclude<Stopped, null>): void => {
    stopped ??= why;
    killGroup();
  };
  const end = new Promise<CommandEnd>((resolve, reject) => {
    const stderr = keepHead(child.stderr, options.stderrBytes ?? 8 * 1024);
    const timer = setTimeout(() => stop("timeout"), options.timeoutMs);
    const onAbort = (): void => stop("aborted");
    signal.addEventListener("abort", onAbort, { once: true });
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    };
    child.once("error", (error) => {
      finish();
      reject(error);
    });
    // A background child may hold the pipes open; killing the group closes them.
    child.once("exit", killGroup);
    child.once("close", (code) => {
      finish();
      resolve({ code, stopped, stderr: stderr() });
    });
    // A program that reads nothing closes its end of the pipe; its exit code tells more than our EPIPE.
    child.stdin.on("error", () => undefined);
    if (signal.aborted) onAbort();
  });
  return { stdin: child.stdin, stdout: child.stdout, stop, end };
}

/** Runs a program to its end and gives what it printed, at most `stdoutBytes`. */
export async function runCommand(
  options: CommandOptions & { readonly stdoutBytes: number; readonly input?: string | Uint8Array },
): Promise<CommandEnd & { readonly stdout: Buffer }> {
  const command = startCommand(options);
  const chunks: Buffer[] = [];
  let bytes = 0;
  command.stdout.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= options.stdoutBytes) chunks.push(chunk);
    else command.stop("output");
  });
  command.stdin.end(options.input ?? "");
  const end = await command.end;
  return { ...end, stdout: Buffer.concat(chunks) };
}

function keepHead(stream: Readable, limit: number): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    if (bytes < limit) chunks.push(chunk.subarray(0, limit - bytes));
    bytes += chunk.length;
  });
  return () => Buffer.concat(chunks).toString("utf8");
}
