import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

// The official suite as a process, and what it found. Its own exit code is not used: it leaves out the scenarios that
// a revision does not score, the tasks extension among them, and those have to pass here too.

const cache = fileURLToPath(new URL("../../.cache/conformance/node_modules/", import.meta.url));
const suite = join(cache, "@modelcontextprotocol/conformance");

/** The newer Node that the suite needs; what it starts may need the one of the project. */
export const SUITE_NODE = join(cache, "node/bin/node");

export const REVISIONS = ["2025-11-25", "2026-07-28"] as const;
export type Revision = (typeof REVISIONS)[number];
export type Leg = "server" | "client";

export interface Finding {
  readonly scenario: string;
  readonly check: string;
  readonly status: "SUCCESS" | "FAILURE" | "WARNING" | "SKIPPED" | "INFO";
  readonly message: string;
}

interface Requirements {
  readonly server: readonly string[];
  readonly client: readonly string[];
  readonly not_scored: readonly { readonly scenario: string; readonly leg: Leg; readonly reason: string }[];
}

/** Every scenario that a revision runs, scored or not, as the package's own frozen list has it. */
export function scenariosOf(revision: Revision, leg: Leg): readonly string[] {
  const file = join(suite, "requirements", `${revision}.yaml`);
  if (!existsSync(file)) throw new Error("the suite is not installed: node scripts/install-conformance.mjs");
  const sets = parse(readFileSync(file, "utf8")) as Requirements;
  const unscored = sets.not_scored.filter((one) => one.leg === leg).map(({ scenario }) => scenario);
  return [...sets[leg], ...unscored];
}

/** Runs the suite with these words and reads what it found of each scenario, by name. */
export async function runSuite(
  leg: Leg,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ReadonlyMap<string, readonly Finding[]>> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-conformance-"));
  try {
    const child = spawn(SUITE_NODE, [join(suite, "dist/index.js"), leg, ...words, "-o", folder], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", NO_COLOR: "1", ...env },
    });
    let said = "";
    child.stdout.on("data", (chunk) => (said += String(chunk)));
    child.stderr.on("data", (chunk) => (said += String(chunk)));
    await once(child, "close");
    const found = readFindings(folder, leg);
    if (found.size === 0) throw new Error(`the suite found nothing:\n${said.slice(-4_000)}`);
    return found;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One directory per scenario: `<scenario>-<time>`, with `server-` in front on that leg; a slash nests. */
function readFindings(folder: string, leg: Leg): Map<string, readonly Finding[]> {
  const found = new Map<string, readonly Finding[]>();
  for (const path of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const match = /^(.+)-\d{4}-\d\d-\d\dT[\d-]+Z\/checks\.json$/.exec(path);
    if (match?.[1] === undefined) continue;
    const scenario = leg === "server" ? match[1].replace(/^server-/, "") : match[1];
    const checks = JSON.parse(readFileSync(join(folder, path), "utf8")) as {
      readonly id: string;
      readonly status: Finding["status"];
      readonly errorMessage?: string;
    }[];
    found.set(
      scenario,
      checks.map(({ id, status, errorMessage = "" }) => ({
        scenario,
        check: id,
        status,
        message: errorMessage,
      })),
    );
  }
  return found;
}
