import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import * as z from "zod";
import { REVISIONS, type Finding, type Leg } from "./suite.ts";

// What the suite found, held against what is expected. Both ways fail: a failure nobody expected, and an expected one
// that no longer happens. A warning counts as a failure, and so does a scenario that left nothing behind.

export type Target = "direct" | "gateway" | "client";

const entries = z.record(z.string(), z.string().min(40, "say why, in a sentence")).default({});
const schema = z.strictObject(
  Object.fromEntries(
    ["direct", "gateway", "client"].map((target) => [
      target,
      z
        .strictObject(Object.fromEntries(REVISIONS.map((revision) => [revision, entries])))
        .partial()
        .default({}),
    ]),
  ),
);

/** Reasons by `scenario` or `scenario:check`. */
export type Expected = Readonly<Record<string, string>>;

export function readExpected(target: Target, revision: string): Expected {
  const file = fileURLToPath(new URL("./expected-failures.yaml", import.meta.url));
  return schema.parse(parse(readFileSync(file, "utf8")))[target]?.[revision] ?? {};
}

export interface Judged {
  readonly target: Target;
  readonly leg: Leg;
  readonly revision: string;
  readonly scenarios: number;
  readonly passedScenarios: number;
  readonly passedChecks: number;
  readonly failedChecks: number;
  readonly expected: Expected;
  /** Lines that fail the run. */
  readonly problems: readonly string[];
}

export function judge(
  about: Pick<Judged, "target" | "leg" | "revision" | "expected">,
  wanted: readonly string[],
  found: ReadonlyMap<string, readonly Finding[]>,
): Judged {
  const problems: string[] = [];
  const used = new Set<string>();
  let [passedScenarios, passedChecks, failedChecks] = [0, 0, 0];
  for (const scenario of wanted) {
    const findings = found.get(scenario) ?? [];
    if (findings.length === 0) problems.push(`${scenario}: left no checks behind`);
    const failed = findings.filter(({ status }) => status === "FAILURE" || status === "WARNING");
    passedChecks += findings.filter(({ status }) => status === "SUCCESS").length;
    failedChecks += failed.length;
    if (failed.length === 0 && findings.length > 0) passedScenarios += 1;
    for (const { check, status, message } of failed) {
      const key = [`${scenario}:${check}`, scenario].find((one) => about.expected[one] !== undefined);
      if (key === undefined) problems.push(`${scenario}:${check}: ${status.toLowerCase()}: ${message}`);
      else used.add(key);
    }
  }
  for (const key of Object.keys(about.expected)) {
    if (!used.has(key)) problems.push(`${key}: is expected to fail and did not; take it out of the list`);
  }
  return { ...about, scenarios: wanted.length, passedScenarios, passedChecks, failedChecks, problems };
}
