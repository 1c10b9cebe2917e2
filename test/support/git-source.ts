import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A repository that tests write, as its authors would: with git itself, in a temporary directory. */
export interface GitSource {
  readonly dir: string;
  git(...args: string[]): string;
  /** Bytes to stdin. */
  gitWith(input: string | Uint8Array, ...args: string[]): string;
  /** Writes files and commits them; `null` removes one, `{ link }` makes a symbolic link. Gives the commit id. */
  commit(files: Readonly<Record<string, FileContent>>, message?: string): string;
  remove(): void;
}

export type FileContent =
  string | Uint8Array | null | { readonly link: string } | { readonly script: string };

export function makeGitSource(parent?: string): GitSource {
  const dir = mkdtempSync(join(parent ?? tmpdir(), "cs-source-"));
  const env = {
    PATH: "/usr/bin:/bin:/usr/local/bin",
    HOME: dir,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_AUTHOR_NAME: "Ana",
    GIT_AUTHOR_EMAIL: "ana@example.com",
    GIT_AUTHOR_DATE: "2026-01-02T03:04:05Z",
    GIT_COMMITTER_NAME: "Ana",
    GIT_COMMITTER_EMAIL: "ana@example.com",
    GIT_COMMITTER_DATE: "2026-01-02T03:04:05Z",
  };
  const run = (args: readonly string[], input?: string | Uint8Array): string =>
    execFileSync("git", ["-c", "core.protectNTFS=false", "-c", "core.protectHFS=false", ...args], {
      cwd: dir,
      env,
      maxBuffer: 256 * 1024 * 1024,
      stdio: ["pipe", "pipe", "pipe"],
      ...(input === undefined ? {} : { input }),
    })
      .toString("utf8")
      .trimEnd();
  run(["init", "-q", "-b", "main"]);
  return {
    dir,
    git: (...args) => run(args),
    gitWith: (input, ...args) => run(args, input),
    commit(files, message = "change") {
      for (const [path, content] of Object.entries(files)) {
        const at = join(dir, path);
        rmSync(at, { recursive: true, force: true });
        if (content === null) continue;
        mkdirSync(dirname(at), { recursive: true });
        if (typeof content === "string" || content instanceof Uint8Array) writeFileSync(at, content);
        else if ("link" in content) symlinkSync(content.link, at);
        else {
          writeFileSync(at, content.script);
          chmodSync(at, 0o755);
        }
      }
      run(["add", "-A", "-f"]);
      run(["commit", "-q", "--allow-empty", "-m", message]);
      return run(["rev-parse", "HEAD"]);
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
