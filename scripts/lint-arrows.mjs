// Writes the arrows of docs/architecture.md into .oxlintrc.json. The linter's regular expressions have no look-ahead, so
// "only these" has to be spelled as "none of those", and a new folder is a word in every list: edit the table, run this,
// then `npm run format`. test/lint/arrows.test.ts compares the two.
import { readFile, writeFile } from "node:fs/promises";

const configPath = new URL("../.oxlintrc.json", import.meta.url);
const config = JSON.parse(await readFile(configPath, "utf8"));
const page = await readFile(new URL("../docs/architecture.md", import.meta.url), "utf8");

/** folder -> what it may import values of */
const table = new Map(
  [...page.matchAll(/^\| `src\/([a-z-]+)` +\|[^|]+\|([^|]+)\|$/gm)].map((row) => [
    row[1],
    row[2].trim().split(", "),
  ]),
);
const folders = [...new Set([...table.keys(), "agents", "console"])].sort((a, b) => (a < b ? -1 : 1));
const files = ["compose", "countersign", "errors", "index", "proofs", "start", "tool", "tool-kit"];

const without = (names, allowed) => names.filter((name) => !allowed.includes(name)).join("|");
const forbidden = (folder) => {
  const allowed = [...table.get(folder), folder];
  return `^(?:\\.\\./)+(?:(?:${without(folders, allowed)})/|(?:${without(files, table.get(folder))})\\.ts$)`;
};

const patternsOf = (override) => override.rules["no-restricted-imports"]?.[1].patterns ?? [];
const ruled = new Set();
for (const override of config.overrides) {
  const folder = /^src\/([a-z-]+)\/.*\*\*$/.exec(override.files[0])?.[1];
  if (table.has(folder)) ruled.add(folder);
  for (const pattern of patternsOf(override)) {
    if (table.has(folder) && pattern.regex?.startsWith("^(?:\\.\\./)+")) pattern.regex = forbidden(folder);
    if (override.files[0] === "src/tool.ts" && pattern.regex?.startsWith("^\\./")) {
      const above = without([...folders, ...files], ["base", "request", "errors", "tool"]);
      pattern.regex = `^\\./(?:${above})(?:/|\\.ts$)`;
    }
    if (override.files[0] === "tools/**" && pattern.regex?.startsWith("/src/")) {
      pattern.regex = `/src/(?:${without([...folders, ...files], ["base", "tool"])})(?:/|\\.ts$)`;
    }
  }
}
const sdk = patternsOf(config.overrides[0])[0];
for (const folder of [...table.keys()].filter((name) => !ruled.has(name))) {
  const message = `${folder} imports values of ${table.get(folder).join(", ")} only: see docs/architecture.md`;
  const patterns = [sdk, { regex: forbidden(folder), allowTypeImports: true, message }];
  config.overrides.splice(1, 0, {
    files: [`src/${folder}/**`],
    rules: { "no-restricted-imports": ["error", { patterns }] },
  });
}
// Each on one line, so that Prettier breaks only what is too long.
const { overrides, ...rest } = config;
const head = Object.entries(rest).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
const list = overrides.map((override) => JSON.stringify(override)).join(",\n");
await writeFile(configPath, `{\n${head.join(",\n")},\n"overrides": [\n${list}\n]\n}\n`);
