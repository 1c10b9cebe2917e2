import type { LogId } from "../base/id.ts";
import { CountersignError } from "../errors.ts";

/** Runs a program without a shell; the witness is handed the command line's own. */
export type RunProgram = (
  command: string,
  args: readonly string[],
) => Promise<{ readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }>;

/** Commits what is kept of a log, and only that. Hooks don't run: a witness must not wait for an editor or a linter. */
export async function commitKept(run: RunProgram, dir: string, log: LogId, message: string): Promise<void> {
  const git = async (...args: string[]): Promise<string> => {
    const done = await run("git", ["-C", dir, "-c", "core.hooksPath=/dev/null", ...args]);
    if (done.exitCode !== 0) throw gitFailed(args, done.stderr);
    return done.stdout;
  };
  await git("add", "--force", "--", log);
  if ((await git("status", "--porcelain", "--", log)).trim() === "") return;
  const known = await run("git", ["-C", dir, "config", "user.email"]);
  const who =
    known.exitCode === 0 ? [] : ["-c", "user.name=countersign", "-c", "user.email=witness@localhost"];
  await git(...who, "commit", "--quiet", "--no-gpg-sign", "-m", message, "--", log);
}

/** Sends the commits to where the branch goes by default. */
export async function pushKept(run: RunProgram, dir: string): Promise<void> {
  const done = await run("git", ["-C", dir, "push", "--quiet"]);
  if (done.exitCode !== 0) throw gitFailed(["push"], done.stderr);
}

const gitFailed = (args: readonly string[], said: string): CountersignError => {
  const word = args.find((arg) => !arg.startsWith("-") && !arg.includes("=")) ?? "git";
  return new CountersignError("USAGE", `git ${word} failed: ${said.trim().split("\n")[0] ?? ""}`, {
    hint: "the checkpoint is kept in the directory; try the same git command there",
  });
};
