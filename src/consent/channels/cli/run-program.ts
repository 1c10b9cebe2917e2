import { spawn } from "node:child_process";

export interface ProgramRun {
  /** Null where a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  /** Empty where standard error went to the terminal. */
  readonly stderr: string;
}

const MAX_OUTPUT_BYTES = 1024 * 1024;

/**
 * Runs a program without a shell, with exactly `env`. With `terminal`, its input and errors are the person's own
 * terminal, so that it can ask for a passphrase or a touch; else its input is `input` or nothing.
 * @throws the spawn error, e.g. ENOENT where the program is missing
 */
export function runProgram(
  command: string,
  args: readonly string[],
  options: {
    readonly env: Readonly<Record<string, string>>;
    readonly terminal?: boolean;
    readonly input?: Uint8Array;
    readonly timeoutMs?: number;
  },
): Promise<ProgramRun> {
  return new Promise((resolve, reject) => {
    const terminal = options.terminal === true;
    const child = spawn(command, [...args], {
      env: { ...options.env },
      stdio: [terminal ? "inherit" : "pipe", "pipe", terminal ? "inherit" : "pipe"],
      shell: false,
      windowsHide: true,
      ...(options.timeoutMs === undefined
        ? {}
        : { timeout: options.timeoutMs, killSignal: "SIGKILL" as const }),
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let size = 0;
    const keep = (chunks: Buffer[]) => (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_OUTPUT_BYTES) chunks.push(chunk);
      else child.kill("SIGKILL");
    };
    child.stdout?.on("data", keep(stdout));
    child.stderr?.on("data", keep(stderr));
    // A program that does not read its input to the end closes the pipe; its exit code tells what that means.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input ?? new Uint8Array(0));
    child.once("error", reject);
    child.once("close", (exitCode) => {
      resolve({
        exitCode,
        stdout: Buffer.concat(stdout).toString("utf8"),
        stderr: Buffer.concat(stderr).toString("utf8"),
      });
    });
  });
}
