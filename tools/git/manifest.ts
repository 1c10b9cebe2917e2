import { createHash } from "node:crypto";
import * as z from "zod";
import { later } from "../../src/base/later.ts";
import { canonicalBytes } from "../../src/base/canonical-json.ts";

const fileSchema = later(() =>
  z.strictObject({
    path: z.string().min(1).max(4_096),
    mode: z.enum(["100644", "100755", "120000"]),
    size: z.int().nonnegative(),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    oid: z.string().regex(/^[0-9a-f]{40}$/),
  }),
);

/** Everything a release consists of: sealed with the plan, kept beside the release. */
export const manifestSchema = later(() =>
  z.strictObject({
    v: z.literal(1),
    commit: z.string().regex(/^[0-9a-f]{40}$/),
    tree: z.string().regex(/^[0-9a-f]{40}$/),
    files: z.array(fileSchema),
  }),
);
export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestFile = z.infer<typeof fileSchema>;

/** The manifest's bytes (RFC 8785) and their sha256, lower-case hex. */
export function sealManifest(manifest: Manifest): { readonly bytes: Uint8Array; readonly sha256: string } {
  const bytes = canonicalBytes(manifest);
  return { bytes, sha256: sha256(bytes) };
}

export const sha256 = (bytes: Uint8Array | string): string =>
  createHash("sha256").update(bytes).digest("hex");
