import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestJson } from "../../src/base/digest.ts";
import { parseSshPublicKeyLine } from "../../src/base/ssh-key.ts";
import { runCli } from "../../src/cli/run-cli.ts";
import { readSurroundings } from "../../src/config/environment.ts";
import { cliParts } from "./cli-run.ts";
import { createScriptedHome, person, scriptedPolicy } from "./scripted-home.ts";

// The command line as a process, over a scripted home: for what only a real terminal can show. Ana is alone with her
// agent, and one destructive request waits. What was accepted is written to $RESULT.

const around = readSurroundings();
const env = (name: string): string => {
  const value = around.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
};
const userHome = env("HOME");
const fingerprints = (around.env["ANA"] ?? "")
  .split(" ")
  .filter((name) => name !== "")
  .map(
    (name) =>
      parseSshPublicKeyLine(readFileSync(join(userHome, ".ssh", `${name}.pub`), "utf8").trim()).fingerprint,
  );
const home = createScriptedHome({
  policy: scriptedPolicy({ people: [person("ana", fingerprints)], groups: { sre: ["ana"] }, solo: "ana" }),
});
home.ask({
  view: { effect: "destructive", effectLine: "DESTROY 1 database · prod · orders" },
  requester: { owners: ["ana"] },
  solo: "ana",
});
home.propose({
  revision: digestJson("policy", "next"),
  diff: [{ text: "solo: ana", weaker: true }],
  needs: { by: ["sre"], quorum: 1, assurance: "A2" },
});
process.exitCode = await runCli(
  process.argv.slice(2),
  cliParts({
    home,
    around: { ...around, userHome },
    streams: process,
    parts: {
      clock: { now: () => Date.UTC(2026, 10, 21, 10, 0, 0), monotonic: () => 0 },
      initHome: async (settings) => {
        mkdirSync(join(settings.dataDir, "log"), { mode: 0o700 });
        return { log: "log_01KAKJT00000000000000000LG", key: "a-log-key", revision: digestJson("policy", 1) };
      },
    },
  }),
);
if (around.env["RESULT"] !== undefined) {
  writeFileSync(around.env["RESULT"], JSON.stringify({ accepted: home.accepted, adopted: home.adopted }));
}
