import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** Every path under a directory with kind, mode and content, one a line: equal texts mean equal directories. */
export function snapshotDirectory(dir: string, skip: (path: string) => boolean = () => false): string {
  const lines: string[] = [];
  const walk = (path: string, name: string): void => {
    if (skip(name)) return;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    const mode = (stat.mode & 0o7777).toString(8);
    if (stat.isSymbolicLink()) lines.push(`${name} -> ${readlinkSync(path)}`);
    else if (stat.isDirectory()) {
      lines.push(`${name}/ ${mode}`);
      for (const entry of readdirSync(path).sort())
        walk(join(path, entry), name === "" ? entry : `${name}/${entry}`);
    } else if (stat.isFile()) {
      lines.push(`${name} ${mode} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`);
    } else lines.push(`${name} special ${mode}`);
  };
  walk(dir, "");
  return lines.join("\n");
}
