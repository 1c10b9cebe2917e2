import { expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/every-command.ts";
import { isMcp } from "../../src/cli/is-mcp.ts";

test.each([
  [["mcp"], true],
  [["mcp", "--home", "/h", "--agent", "claude"], true],
  [["--home", "/h", "mcp"], true],
  // The word may be a directory or belong to another command: the parser says, and it has to know them all.
  [["--home", "mcp"], false],
  [["--home", "mcp", "start"], false],
  [["--home=mcp", "start"], false],
  [["start", "mcp"], false],
  [["--no-color", "mcp"], false],
  [["--help"], false],
  [["mpc"], false],
  [[], false],
])("%j loads the command mcp alone: %s", (argv, is) => {
  expect(isMcp(argv)).toBe(is);
});

test("no command is listed twice", () => {
  const all = Object.values(COMMANDS).flat();
  expect(new Set(all).size).toBe(all.length);
  expect(all.length).toBeGreaterThan(20);
});
