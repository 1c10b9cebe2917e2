import { createHash } from "node:crypto";

/** What a draft says about signing it: the bytes for an SSH key, the challenge for a passkey. */
export const signThis = (
  namespace: string,
  bytes: Uint8Array,
): { readonly namespace: string; readonly bytes: string; readonly challenge: string } => ({
  namespace,
  bytes: Buffer.from(bytes).toString("base64"),
  challenge: createHash("sha256").update(bytes).digest("base64url"),
});
