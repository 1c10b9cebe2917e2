import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fail, fine, type Check, type Finding } from "./check.ts";

/** Enough of them to see what is wrong; a chmod of the directory mends all. */
const MOST = 5;

/** 0700 and 0600, and one owner, for what only countersign writes. */
export const checkPermissions: Check = {
  name: "permissions",
  needs: "data",
  async look({ dataDir, around }) {
    if (around.platform === "win32") return [fine("not looked at on Windows")];
    const findings: Finding[] = [];
    const owner = (await lstat(dataDir)).uid;
    const uid = process.getuid?.() ?? owner;
    if (owner !== uid && uid !== 0) {
      findings.push(
        fail(
          `${dataDir} belongs to uid ${owner}, and you are ${uid}`,
          `run countersign as the home's own account`,
        ),
      );
    }
    // Blobs are thousands and lie below directories that are private; one level each is enough.
    for (const name of [
      "",
      "log",
      "keys",
      "keys/requests",
      "keys/sealed",
      "blobs",
      "blobs/packs",
      "witnessed",
      "run",
    ]) {
      const dir = join(dataDir, name);
      const found = await lstat(dir).catch(() => null);
      if (found === null) continue;
      findings.push(...judge(dir, found, owner));
      if (name === "blobs") continue;
      for (const child of await readdir(dir, { withFileTypes: true }).catch(() => [])) {
        if (!child.isFile()) continue;
        const path = join(dir, child.name);
        const file = await lstat(path).catch(() => null);
        if (file !== null) findings.push(...judge(path, file, owner));
      }
    }
    if (findings.length === 0) return [fine("private to their owner")];
    const more = findings.length - MOST;
    return more > 0
      ? [...findings.slice(0, MOST), fail(`and ${more} more`, `chmod -R go= ${dataDir}`)]
      : findings;
  },
};

function judge(path: string, found: Stats, owner: number): Finding[] {
  const bits = found.mode & 0o777;
  const findings: Finding[] = [];
  if ((bits & 0o077) !== 0) {
    findings.push(
      fail(
        `${path} has mode ${bits.toString(8)}; others can reach it`,
        `chmod ${found.isDirectory() ? "700" : "600"} ${path}`,
      ),
    );
  }
  if (found.uid !== owner)
    findings.push(
      fail(`${path} belongs to uid ${found.uid}, the home to ${owner}`, `chown ${owner} ${path}`),
    );
  return findings;
}
