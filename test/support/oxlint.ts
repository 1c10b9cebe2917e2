import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";

const root = join(import.meta.dirname, "../..");
const run = promisify(execFile);

const reportSchema = z.looseObject({
  diagnostics: z.array(
    z.looseObject({ code: z.string(), filename: z.string(), help: z.string().default("") }),
  ),
});
/** oxlint exits with 1 where it found something; any other code is a failure of its own. */
const foundSchema = z.looseObject({ code: z.literal(1), stdout: z.string() });

export interface Finding {
  readonly file: string;
  /** `plugin(rule)`, as oxlint prints it. */
  readonly rule: string;
  readonly help: string;
}

/** Lints files of these paths and texts as if they stood in this repository. */
export async function lint(
  files: Readonly<Record<string, string>>,
  options: { readonly typeAware?: boolean } = {},
): Promise<readonly Finding[]> {
  const dir = await mkdtemp(join(tmpdir(), "countersign-lint-"));
  try {
    await copyFile(join(root, ".oxlintrc.json"), join(dir, ".oxlintrc.json"));
    await writeFile(
      join(dir, "tsconfig.json"),
      JSON.stringify({ compilerOptions: { strict: true, target: "es2023", lib: ["es2023"], types: [] } }),
    );
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(dir, path)), { recursive: true });
      await writeFile(join(dir, path), text);
    }
    const flags = options.typeAware === true ? ["--type-aware"] : [];
    const { stdout } = await run(join(root, "node_modules/.bin/oxlint"), [...flags, "-f", "json", "."], {
      cwd: dir,
    }).catch((error: unknown) => foundSchema.parse(error));
    const { diagnostics } = reportSchema.parse(JSON.parse(stdout));
    return diagnostics.map(({ code, filename, help }) => ({ file: filename, rule: code, help }));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
