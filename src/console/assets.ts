import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { CountersignError } from "../errors.ts";

/** What browsers load besides pages: read once, served from memory. */
export interface Assets {
  /** Path of the page script, `/assets/main-….js`. */
  readonly script: string;
  readonly style: string;
  /** Null for a name that is not one of ours. */
  get(name: string): { readonly bytes: Uint8Array<ArrayBuffer>; readonly type: string } | null;
}

const manifestSchema = z.object({
  script: z.string(),
  style: z.string(),
  files: z.array(z.string().regex(/^[\w-]+-[A-Z0-9]{8}\.(?:js|css)$/)),
});

const TYPES: Readonly<Record<string, string>> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
};

/**
 * Reads what `scripts/build.mjs` made, from beside the bundle or, when run from source, from `dist` of the checkout.
 * @throws CountersignError `CONSOLE_NOT_BUILT`
 */
export async function readAssets(): Promise<Assets> {
  const folder = await findFolder(dirname(fileURLToPath(import.meta.url)));
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")));
  const files = new Map<string, { bytes: Uint8Array<ArrayBuffer>; type: string }>();
  for (const name of manifest.files) {
    const bytes = new Uint8Array(await readFile(join(folder, name)));
    files.set(name, { bytes, type: TYPES[name.split(".").at(-1) ?? ""] ?? "application/octet-stream" });
  }
  return {
    script: `/assets/${manifest.script}`,
    style: `/assets/${manifest.style}`,
    get: (name) => files.get(name) ?? null,
  };
}

async function findFolder(from: string): Promise<string> {
  for (let at = from; ; at = dirname(at)) {
    for (const folder of [join(at, "console"), join(at, "dist", "console")]) {
      if (await isFile(join(folder, "manifest.json"))) return folder;
    }
    if (dirname(at) === at) break;
  }
  throw new CountersignError("CONSOLE_NOT_BUILT", "the console's scripts and styles are missing", {
    hint: "install the package again, or in a checkout: node scripts/build.mjs",
  });
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (status) => status.isFile(),
    () => false,
  );
