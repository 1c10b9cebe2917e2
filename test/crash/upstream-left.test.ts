import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

// The gateway is gone, one way or the other: is anything left of the servers that it started, with their credentials?

const PARENT = fileURLToPath(new URL("../support/upstream-parent.ts", import.meta.url));

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    // A process that ended and that nobody has asked after yet is none.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
};

test.skipIf(process.platform !== "linux").each(["SIGKILL", "end of input"])(
  "after %s of the gateway no server is left, not even one that takes no hint",
  async (how) => {
    const dir = mkdtempSync(join(tmpdir(), "countersign-left-"));
    const parent = spawn(process.execPath, ["--import", "tsx", PARENT, dir], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(parent.stdout, "data");
    const servers = readFileSync(join(dir, "starts"), "utf8").trim().split("\n").map(Number);
    expect(servers).toHaveLength(2);
    expect(servers.every(isAlive)).toBe(true);
    const ended = once(parent, "exit");
    if (how === "SIGKILL") parent.kill("SIGKILL");
    else parent.stdin.end();
    await ended;
    try {
      await expect.poll(() => servers.filter(isAlive), { timeout: 60_000, interval: 200 }).toEqual([]);
    } finally {
      for (const pid of servers.filter(isAlive)) process.kill(pid, "SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    }
  },
);
