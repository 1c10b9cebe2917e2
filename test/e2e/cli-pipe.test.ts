import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { missingForMain, openRealHome, PROGRAM } from "../support/real-gateway.ts";

// What becomes of a command whose reader has seen enough?

const missing = missingForMain();

/** Runs the command with its output in a pipe that nobody reads, and gives its exit code. */
function intoClosedPipe(...args: string[]): { readonly code: string; readonly err: string } {
  const script = '{ "$@"; echo "code $?" >&2; } | true';
  const { stderr } = spawnSync("sh", ["-c", script, "sh", process.execPath, PROGRAM, ...args], {
    encoding: "utf8",
    timeout: 60_000,
  });
  return { code: /code (\d+)/.exec(stderr)?.[1] ?? "", err: stderr };
}

describe.skipIf(missing !== null)(missing ?? "a reader that has seen enough", () => {
  test("ends help and lists quietly", async () => {
    expect(intoClosedPipe("--help")).toEqual({ code: "0", err: "code 0\n" });
    const home = await openRealHome();
    expect(intoClosedPipe("--home", home.home, "log", "list", "--json")).toEqual({
      code: "0",
      err: "code 0\n",
    });
    await home.close();
  });

  test("ends a command that only follows", async () => {
    const home = await openRealHome();
    expect(intoClosedPipe("--home", home.home, "log", "tail").code).toBe("0");
    await home.close();
  });
});
