import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import type { GitSource } from "./git-source.ts";
import { snapshotDirectory } from "./snapshot.ts";

// A commit as git tells it, and a directory as the disk has it, in the same words.

/** `path mode sha256` of every file of a commit, as git itself tells it. */
export function treeOf(source: GitSource, commit: string): readonly string[] {
  return source
    .git("ls-tree", "-r", "-z", commit)
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => {
      const [meta = "", path = ""] = line.split("\t");
      const [mode = "", , id = ""] = meta.split(" ");
      const bytes = execFileSync("git", ["cat-file", "blob", id], { cwd: source.dir });
      return `${path} ${mode} ${createHash("sha256").update(bytes).digest("hex")}`;
    })
    .sort();
}

/** The same of a directory on disk. */
export function treeOnDisk(dir: string): readonly string[] {
  return snapshotDirectory(dir)
    .split("\n")
    .filter((line) => !/\/ \d+$/.test(line))
    .map((line) => {
      const [, path = "", mode = "", digest = ""] = /^(.*) (\d+) ([0-9a-f]{64})$/.exec(line) ?? [];
      return `${path} ${(Number.parseInt(mode, 8) & 0o100) === 0 ? "100644" : "100755"} ${digest}`;
    })
    .sort();
}
