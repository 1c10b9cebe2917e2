import { build, type Plugin } from "esbuild";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const { leanSdk } = (await import(new URL("../../scripts/lean-sdk.mjs", import.meta.url).href)) as {
  readonly leanSdk: Plugin;
};

// What is left out of the bundle is what nothing refers to; what is used is what the SDK has.

async function bundled(source: string): Promise<{ readonly text: string; readonly file: string }> {
  const dir = mkdtempSync(join(import.meta.dirname, ".lean-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, "bundle.mjs");
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: import.meta.dirname },
    ...{ bundle: true, format: "esm", platform: "node", target: "node20", write: false },
    plugins: [leanSdk],
  });
  const text = outputFiles[0]!.text;
  writeFileSync(file, text);
  return { text, file };
}

const SERVER = "@modelcontextprotocol/server";

test("schemas that nothing refers to are not in the bundle of a server", async () => {
  const { text } = await bundled(`
    import { McpServer } from "${SERVER}";
    import { serveStdio } from "${SERVER}/stdio";
    serveStdio(() => new McpServer({ name: "bare", version: "1.0.0" }));`);
  expect(text).toMatch(/\bJSONRPCMessageSchema\b/);
  for (const unused of ["OpenIdProviderDiscoveryMetadataSchema", "OAuthTokensSchema", "specTypeSchemas"]) {
    expect(text).not.toContain(`${unused} =`);
  }
});

test("a client beside the server adds nothing to what is made for the server", async () => {
  const count = async (source: string): Promise<number> => {
    const { text } = await bundled(source);
    const ofServer = text
      .split(/^\/\/ (?=node_modules\/|\.\.\/)/m)
      .filter((part) => !part.includes("?client"));
    const core = ofServer.filter((part) => /^\S*@modelcontextprotocol\/core\//.test(part)).join("");
    return core.match(/^var \w+Schema\d* =/gm)?.length ?? 0;
  };
  const server = `export { McpServer } from "${SERVER}";`;
  const alone = await count(server);
  expect(alone).toBeGreaterThan(20);
  expect(await count(`${server} export { Client } from "@modelcontextprotocol/client";`)).toBe(alone);
});

test("the tables of all schemas are whole for who uses them", async () => {
  const { file } = await bundled(`export { specTypeSchemas, isSpecType } from "${SERVER}";`);
  type Sdk = Pick<typeof import("@modelcontextprotocol/server"), "specTypeSchemas" | "isSpecType">;
  const ours = (await import(pathToFileURL(file).href)) as Sdk;
  const theirs: Sdk = await import("@modelcontextprotocol/server");
  expect(Object.keys(ours.specTypeSchemas)).toEqual(Object.keys(theirs.specTypeSchemas));
  expect(Object.keys(ours.isSpecType)).toEqual(Object.keys(theirs.isSpecType));
  const values = [
    {},
    { content: [] },
    { uri: "a:b", text: "t" },
    { name: "x", inputSchema: { type: "object" } },
  ];
  for (const name of Object.keys(theirs.isSpecType) as (keyof Sdk["isSpecType"])[]) {
    const made = values.map((value) => ours.isSpecType[name](value));
    expect(made, name).toEqual(values.map((value) => theirs.isSpecType[name](value)));
  }
});
