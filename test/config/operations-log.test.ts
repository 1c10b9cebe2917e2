import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

// The log is loaded with its first line. Is every line that is to be written written, on standard error, and is nothing
// loaded for those that are not?

const SCRIPT = `
import { createRequire } from "node:module";
import { operationsLog } from "./src/config/operations-log.ts";
const log = operationsLog({ logLevel: process.argv[1] });
const isLoaded = () => Object.keys(createRequire(import.meta.url)("module")._cache).some((one) => one.includes("/pino/"));
log.debug({ a: 1 }, "quiet");
log.info("quieter");
console.log(isLoaded());
log.error({ err: new Error("broken"), request: { token: "hush" } }, "loud");
log.child({ part: "child" }).fatal("loudest");
console.log(isLoaded(), log.level);
`;

function run(level: string): {
  readonly out: readonly string[];
  readonly lines: readonly Record<string, unknown>[];
} {
  const args = ["--import", "tsx", "--input-type=module", "-e", SCRIPT, level];
  const ran = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 120_000 });
  const lines = ran.stderr.split("\n").filter((line) => line !== "");
  return {
    out: ran.stdout.trim().split("\n"),
    lines: lines.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

test("nothing is loaded until a line is written, and then all of it is there", () => {
  const { out, lines } = run("warn");
  expect(out).toEqual(["false", "true warn"]);
  expect(lines).toMatchObject([
    {
      name: "countersign",
      level: 50,
      msg: "loud",
      request: { token: "[redacted]" },
      err: { message: "broken" },
    },
    { level: 60, part: "child", msg: "loudest" },
  ]);
});

test("what the level asks for is written from the first line on", () => {
  expect(run("debug").lines.map(({ msg }) => msg)).toEqual(["quiet", "quieter", "loud", "loudest"]);
});

test("silent writes nothing", () => {
  expect(run("silent")).toMatchObject({ out: ["false", "true silent"], lines: [] });
});
