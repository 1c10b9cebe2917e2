import { listenFixture } from "./fixture/listen.ts";
import { startGateway } from "./gateway.ts";
import { REVISIONS, runSuite, scenariosOf } from "./suite.ts";
import { judge, readExpected, type Judged, type Target } from "./verdict.ts";

// `npm run conformance [-- --direct | --gateway | --client] [scenario ...]`: the official suite, and what it may find.

const words = process.argv.slice(2);
const flags = words.filter((word) => word.startsWith("--"));
const only = words.filter((word) => !word.startsWith("--"));
const wants = (target: Target): boolean => flags.length === 0 || flags.includes(`--${target}`);

async function runServer(target: "direct" | "gateway"): Promise<readonly Judged[]> {
  const server = target === "direct" ? await listenFixture() : await startGateway();
  try {
    const judged: Judged[] = [];
    for (const revision of REVISIONS) {
      const scenarios = scenariosOf(revision, "server").filter((name) => isWanted(name));
      if (scenarios.length === 0) continue;
      const found = await runSuite("server", ["--url", server.url, "--requirements", revision]);
      const expected = readExpected(target, revision);
      judged.push(judge({ target, leg: "server", revision, expected: relevant(expected) }, scenarios, found));
    }
    return judged;
  } finally {
    await server.close();
  }
}

const isWanted = (scenario: string): boolean =>
  only.length === 0 || only.some((word) => scenario.includes(word));
const relevant = <T>(expected: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(expected).filter(([key]) => isWanted(key.split(":")[0] ?? key)));

const judged: Judged[] = [];
if (wants("direct")) judged.push(...(await runServer("direct")));
if (wants("gateway")) judged.push(...(await runServer("gateway")));

for (const run of judged) {
  process.stdout.write(
    `${run.target} ${run.revision}: ${run.passedScenarios} of ${run.scenarios} scenarios, ` +
      `${run.passedChecks} checks passed, ${run.failedChecks} failed\n`,
  );
  for (const problem of run.problems) process.stdout.write(`  ${problem}\n`);
}
process.exitCode = judged.length === 0 || judged.some((run) => run.problems.length > 0) ? 1 : 0;
