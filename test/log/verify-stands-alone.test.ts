import { build } from "esbuild";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

test('`import "countersign/verify"` pulls in Node\'s own modules and pure files of ours, nothing else', async () => {
  const { metafile } = await build({
    entryPoints: [fileURLToPath(new URL("../../src/log/verify.ts", import.meta.url))],
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    format: "esm",
    packages: "external",
    absWorkingDir: fileURLToPath(new URL("../..", import.meta.url)),
  });
  const files = Object.keys(metafile.inputs);
  const outside = files.filter((file) => !/^src\/(base|log)\//.test(file)).sort();
  expect(outside).toEqual([
    "src/consent/credential-statement.ts",
    "src/consent/question.ts",
    "src/consent/statement.ts",
    "src/consent/summary.ts",
    "src/errors.ts",
    "src/execution/settlement.ts",
    "src/policy/adoption-statement.ts",
    "src/policy/verdict.ts",
  ]);
  expect(files).not.toContain("src/log/fold.ts");
  const imported = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  expect([...new Set(imported)].filter((path) => !path.startsWith("node:"))).toEqual([]);
});
