import { fileURLToPath } from "node:url";
import { listenFixture } from "./fixture/listen.ts";
import { startGateway } from "./gateway.ts";
import { REVISIONS, runSuite, scenariosOf, type Finding } from "./suite.ts";
import { tellResults } from "./results.ts";
import { judge, readExpected, type Judged, type Target } from "./verdict.ts";

// `npm run conformance [-- --direct | --gateway | --client] [scenario ...]`: the official suite, and what it may find.

const words = process.argv.slice(2);
const flags = words.filter((word) => word.startsWith("--"));
const only = words.filter((word) => !word.startsWith("--"));
const parts = flags.filter((flag) => flag !== "--write");
const wants = (target: Target): boolean => parts.length === 0 || parts.includes(`--${target}`);
const isWhole = parts.length === 0 && only.length === 0;

async function runServer(target: "direct" | "gateway"): Promise<readonly Judged[]> {
  const fixture = await listenFixture();
  const gateway = target === "direct" ? null : await startGateway(fixture.url);
  const server = gateway ?? fixture;
  try {
    const judged: Judged[] = [];
    for (const revision of REVISIONS) {
      const scenarios = scenariosOf(revision, "server").filter((name) => isWanted(name));
      if (scenarios.length === 0) continue;
      const found = await runSuite("server", ["--url", server.url, "--requirements", revision]);
      const expected = readExpected(target, revision);
      judged.push(judge({ target, leg: "server", revision, expected: relevant(expected) }, scenarios, found));
    }
    // A refusal would pass for an answer in some scenarios: whatever the suite names has to have been reached.
    const missed = [...NAMED].filter((name) => !fixture.reached.has(name));
    if (only.length === 0 && missed.length > 0) {
      process.stdout.write(`${target}: the suite's calls did not get through to ${missed.join(", ")}\n`);
      process.exitCode = 1;
    }
    return judged;
  } finally {
    await gateway?.close();
    await fixture.close();
  }
}

/** What a gateway is not: a client that obtains tokens. An upstream's credential comes from its operator. */
const APPLIES = (scenario: string): boolean => !scenario.startsWith("auth/");

async function runClient(): Promise<readonly Judged[]> {
  const judged: Judged[] = [];
  for (const revision of REVISIONS) {
    const scenarios = scenariosOf(revision, "client").filter((name) => APPLIES(name) && isWanted(name));
    const found = new Map<string, readonly Finding[]>();
    for (const scenario of scenarios) {
      const words = ["--command", CLIENT, "--scenario", scenario, "--spec-version", revision];
      for (const [name, findings] of await runSuite("client", words)) found.set(name, findings);
    }
    const expected = relevant(readExpected("client", revision));
    if (scenarios.length > 0) {
      judged.push(judge({ target: "client", leg: "client", revision, expected }, scenarios, found));
    }
  }
  return judged;
}

const here = (path: string): string => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)));
const CLIENT = `${JSON.stringify(process.execPath)} ${here("../../node_modules/tsx/dist/cli.mjs")} ${here("./upstream-client.ts")}`;

/** A sample of what has to arrive at the fixture in any full run. */
const NAMED: ReadonlySet<string> = new Set([
  ...["test_simple_text", "test_image_content", "test_audio_content", "test_embedded_resource"],
  ...[
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "greet",
    "slow_compute",
  ],
  ...["failing_job", "confirm_delete", "multi_input", "test_header_parameter", "test://static-text"],
  ...["test://static-binary", "test://template/123/data", "test_simple_prompt", "test_prompt_with_image"],
  ...["test_prompt_with_arguments", "test_prompt_with_embedded_resource"],
]);

const isWanted = (scenario: string): boolean =>
  only.length === 0 || only.some((word) => scenario.includes(word));
const relevant = <T>(expected: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(expected).filter(([key]) => isWanted(key.split(":")[0] ?? key)));

const judged: Judged[] = [];
if (wants("direct")) judged.push(...(await runServer("direct")));
if (wants("client")) judged.push(...(await runClient()));
if (wants("gateway")) judged.push(...(await runServer("gateway")));

for (const run of judged) {
  process.stdout.write(
    `${run.target} ${run.revision}: ${run.passedScenarios} of ${run.scenarios} scenarios, ` +
      `${run.passedChecks} checks passed, ${run.failedChecks} failed\n`,
  );
  for (const problem of run.problems) process.stdout.write(`  ${problem}\n`);
}
if (judged.length === 0 || judged.some((run) => run.problems.length > 0)) process.exitCode = 1;
if (isWhole && process.exitCode === undefined && !tellResults(judged, flags.includes("--write"))) {
  process.stdout.write("docs/conformance.md tells other results: npm run conformance -- --write\n");
  process.exitCode = 1;
}
