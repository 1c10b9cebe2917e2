import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { lint, type Finding } from "../support/oxlint.ts";

// Does the linter really refuse what docs/architecture.md says it refuses? Every pair of folders is tried: a file in
// one imports a value of the other, oxlint runs with the project's own configuration, and its answer is compared with
// the table. A folder that nobody wrote an arrow for fails here, so the lists of names in .oxlintrc.json can't rot.

const root = join(import.meta.dirname, "../..");
/** Files that import what they may not. One import may break two rules at once; the file counts once. */
const restricted = (findings: readonly Finding[]): readonly string[] => {
  const hits = findings.filter((finding) => finding.rule === "eslint(no-restricted-imports)");
  return [...new Set(hits.map((finding) => finding.file))];
};

/** The table of docs/architecture.md: folder -> what it may import values of. */
async function arrows(): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const text = await readFile(join(root, "docs/architecture.md"), "utf8");
  const rows = [...text.matchAll(/^\| `src\/([a-z-]+)` +\|[^|]+\|([^|]+)\|$/gm)];
  return new Map(rows.map((row) => [row[1] ?? "", new Set((row[2] ?? "").trim().split(", "))]));
}

const FILES = ["compose", "countersign", "errors", "index", "proofs", "start", "tool", "tool-kit"];
/** Files under src that import nothing, so that anyone may import them. */
const LEAVES = ["version"];

async function sourceFolders(): Promise<readonly string[]> {
  const entries = await readdir(join(root, "src"), { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

test("a file that anyone may import imports nothing itself", async () => {
  for (const leaf of LEAVES) {
    expect(await readFile(join(root, "src", `${leaf}.ts`), "utf8"), leaf).not.toMatch(
      /^(?:import|export .* from)\b/m,
    );
  }
});

describe("the arrows between folders", () => {
  test("the table names every folder under src", async () => {
    const table = await arrows();
    const missing = (await sourceFolders()).filter((folder) => !table.has(folder));
    expect(missing).toEqual([]);
  });

  test("every file directly under src is one the linter knows", async () => {
    const entries = await readdir(join(root, "src"), { withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".ts"));
    expect(
      files
        .map((file) => file.name.replace(/\.ts$/, ""))
        .filter((name) => ![...FILES, ...LEAVES].includes(name)),
    ).toEqual([]);
  });

  test("a value crosses exactly where the table says so, at any depth", async () => {
    const table = await arrows();
    const folders = [...table.keys()];
    expect(folders.length).toBeGreaterThan(10);
    const files: Record<string, string> = {};
    const expected: string[] = [];
    for (const from of folders) {
      const targets = [
        ...folders.map((to) => ({ to, path: `${to}/thing` })),
        ...FILES.map((to) => ({ to, path: to })),
      ];
      for (const { to, path } of targets.filter((target) => target.to !== from)) {
        const name = `to-${path.replace("/", "-")}.ts`;
        const shallow = `src/${from}/${name}`;
        const deep = `src/${from}/part/inner/${name}`;
        files[shallow] = `import { x } from "../${path}.ts";\nexport const y = x;\n`;
        files[deep] = `import { x } from "../../../${path}.ts";\nexport const y = x;\n`;
        if (table.get(from)?.has(to) !== true) expected.push(shallow, deep);
      }
    }
    const findings = await lint(files);
    expect(restricted(findings).toSorted()).toEqual(expected.toSorted());
    expect(findings.every((finding) => finding.help.length > 20)).toBe(true);
  });

  test("a type may cross in any direction, a re-export or a lazy import of a value may not", async () => {
    const findings = await lint({
      "src/base/typed.ts": `import type { Gate } from "../gate/reply.ts";\nexport type G = Gate;\n`,
      "src/base/reexport.ts": `export { x } from "../gate/thing.ts";\n`,
      "src/base/star.ts": `export * from "../gate/thing.ts";\n`,
      "src/base/lazy.ts": `export const x = () => import("../gate/thing.ts");\n`,
      "src/base/bare.ts": `import "../gate/thing.ts";\n`,
    });
    expect(restricted(findings).toSorted()).toEqual([
      "src/base/bare.ts",
      "src/base/lazy.ts",
      "src/base/reexport.ts",
      "src/base/star.ts",
    ]);
  });

  test("an import of types that would stay behind as a side effect is refused", async () => {
    const findings = await lint({
      "src/base/inline.ts": `import { type Gate } from "../gate/reply.ts";\nexport type G = Gate;\n`,
    });
    expect(findings.map((finding) => finding.rule)).toContain("typescript(no-import-type-side-effects)");
  });
});

describe("borders inside folders", () => {
  test("only src/transport/mcp imports the MCP SDK, src/upstream its client, lazily or not", async () => {
    const sdk = `import { Server } from "@modelcontextprotocol/server";\nexport const s = Server;\n`;
    const findings = await lint({
      "src/transport/mcp/session.ts": sdk,
      "src/transport/http/listener.ts": sdk,
      "src/upstream/serve.ts": sdk,
      "src/upstream/connect.ts": `import { Client } from "@modelcontextprotocol/client";\nexport const c = Client;\n`,
      "src/transport/http/connect.ts": `import { Client } from "@modelcontextprotocol/client";\nexport const c = Client;\n`,
      "src/gate/lazy.ts": `export const s = () => import("@modelcontextprotocol/client");\n`,
      "src/gate/typed.ts": `import type { Server } from "@modelcontextprotocol/server";\nexport type S = Server;\n`,
      "src/compose.ts": sdk,
      "src/tool.ts": sdk,
      "tools/echo/tool.ts": sdk,
      "test/e2e/client.test.ts": sdk,
    });
    expect(restricted(findings).toSorted()).toEqual([
      "src/compose.ts",
      "src/gate/lazy.ts",
      "src/gate/typed.ts",
      "src/tool.ts",
      "src/transport/http/connect.ts",
      "src/transport/http/listener.ts",
      "src/upstream/serve.ts",
      "tools/echo/tool.ts",
    ]);
  });

  test("no part of the product calls a model", async () => {
    const findings = await lint({
      "src/gate/judge.ts": `import OpenAI from "openai";\nexport const o = OpenAI;\n`,
      "src/transport/mcp/judge.ts": `import Anthropic from "@anthropic-ai/sdk";\nexport const a = Anthropic;\n`,
    });
    expect(restricted(findings)).toHaveLength(2);
  });

  test("a tool imports src/tool.ts and src/base, and no other tool", async () => {
    const findings = await lint({
      "tools/echo/tool.ts": `import { defineTool } from "../../src/tool.ts";\nimport { digestJson } from "../../src/base/digest.ts";\nimport { plan } from "./preview.ts";\nexport const t = [defineTool, digestJson, plan];\n`,
      "tools/echo/preview.ts": `export { other as plan } from "../echo_other/tool.ts";\n`,
      "tools/echo/source.ts": `export { shared } from "../git/git.ts";\n`,
      "tools/echo/store.ts": `export { x } from "../../src/store/store.ts";\n`,
      "tools/echo/home.ts": `export { x } from "../../src/compose.ts";\n`,
      "tools/echo/parts/git.ts": `export { x } from "../../../src/gate/thing.ts";\n`,
    });
    expect(restricted(findings).toSorted()).toEqual([
      "tools/echo/home.ts",
      "tools/echo/parts/git.ts",
      "tools/echo/preview.ts",
      "tools/echo/store.ts",
    ]);
  });

  test("channels never import each other", async () => {
    const findings = await lint({
      "src/consent/channels/slack/card.ts": `export { x } from "../teams/card.ts";\n`,
      "src/consent/channels/api/desk.ts": `export { x } from "../cli/sign.ts";\n`,
      "src/consent/channels/api/own.ts": `export { x } from "../../desk.ts";\n`,
    });
    expect(restricted(findings).toSorted()).toEqual([
      "src/consent/channels/api/desk.ts",
      "src/consent/channels/slack/card.ts",
    ]);
  });

  test("the verifier pulls in neither a package nor more of another folder than the formats people sign", async () => {
    const bad = ["zod", "@scope/name", "node-fetch", "noop", "../consent/desk.ts", "../store/store.ts"];
    const good = ["node:crypto", "./merkle.ts", "../base/digest.ts", "../consent/statement.ts"];
    const file = (source: string): string => `src/log/verify-${source.replaceAll(/[^a-z]/g, "-")}.ts`;
    const findings = await lint(
      Object.fromEntries(
        [...bad, ...good].map((source) => [file(source), `export { x } from "${source}";\n`]),
      ),
    );
    expect(restricted(findings).toSorted()).toEqual(bad.map(file).toSorted());
  });

  test("src/errors.ts imports nothing, src/tool.ts nothing above request", async () => {
    const findings = await lint({
      "src/errors.ts": `export { x } from "./base/result.ts";\n`,
      "src/tool.ts": `export { EFFECTS } from "./request/action-request.ts";\nexport { x } from "./gate/reply.ts";\n`,
    });
    expect(restricted(findings).toSorted()).toEqual(["src/errors.ts", "src/tool.ts"]);
  });
});
