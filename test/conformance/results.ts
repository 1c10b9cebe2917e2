import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Judged } from "./verdict.ts";

const FILE = fileURLToPath(new URL("../../docs/conformance.md", import.meta.url));
const BLOCK = /(<!-- results: [^>]+-->\n)[^]*?(\n<!-- end -->)/;

/** True where docs/conformance.md has these results, or has them now. */
export function tellResults(judged: readonly Judged[], isWritten: boolean): boolean {
  const before = readFileSync(FILE, "utf8");
  const after = before.replace(
    BLOCK,
    (_, begin: string, end: string) => `${begin}\n${tableOf(judged)}${end}`,
  );
  if (isWritten) writeFileSync(FILE, after);
  return isWritten || after === before;
}

/** In the form that Prettier gives a table. */
function tableOf(judged: readonly Judged[]): string {
  const rows = [
    ["run", "revision", "scenarios", "passed", "expected failures"],
    ...judged.map((run) => [
      run.target,
      run.revision,
      String(run.scenarios),
      String(run.passedScenarios),
      String(Object.keys(run.expected).length),
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`);
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return `${[lines[0], rule, ...lines.slice(1)].join("\n")}\n`;
}
