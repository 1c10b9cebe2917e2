import { createHash, timingSafeEqual } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { CountersignError } from "../../errors.ts";

// Static bearer tokens. Only digests are kept and compared, so neither a memory dump of the table nor the time that
// a comparison takes tells anything of a token.

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]{16,512}=*)$/i;
const SHA256_HEX = /^[0-9a-f]{64}$/;

/** The holder whose token the Authorization header carries, or null. */
export type Authenticate<H> = (authorization: string | undefined) => H | null;

/**
 * @throws CountersignError `CONFIG_INVALID` for a holder whose digest is not 64 lower-case hex digits, or two holders
 * of one token.
 */
export function createBearer<H extends { readonly tokenSha256: string }>(
  holders: readonly H[],
): Authenticate<H> {
  const table = holders.map((holder) => {
    if (!SHA256_HEX.test(holder.tokenSha256)) {
      throw new CountersignError("CONFIG_INVALID", "a token's SHA-256 is 64 lower-case hex digits", {
        hint: "printf %s TOKEN | sha256sum",
      });
    }
    return { holder, digest: Buffer.from(holder.tokenSha256, "hex") };
  });
  if (new Set(holders.map((holder) => holder.tokenSha256)).size !== holders.length) {
    throw new CountersignError("CONFIG_INVALID", "two clients share one token", {
      hint: "give each client a token of its own; who acts must be told apart",
    });
  }
  return (authorization) => {
    const token = BEARER.exec(authorization ?? "")?.[1];
    if (token === undefined) return null;
    const presented = createHash("sha256").update(token).digest();
    let found: H | null = null;
    // Every row is compared: the position of a match does not show in the time.
    for (const row of table) if (timingSafeEqual(row.digest, presented)) found = row.holder;
    return found;
  };
}

/**
 * Reads a token that a process of this user left for others of this user.
 * @throws CountersignError `HOME_NOT_FOUND`, or `HOME_INSECURE` where others may read or replace it
 */
export async function readTokenFile(path: string): Promise<string> {
  let mode: number;
  let owner: number;
  let text: string;
  try {
    const status = await stat(path);
    mode = status.mode & 0o777;
    owner = status.uid;
    text = (await readFile(path, "utf8")).trim();
  } catch (cause) {
    throw new CountersignError("HOME_NOT_FOUND", `no token at ${path}`, {
      hint: "countersign init makes it; the gateway's own user can read it",
      cause,
    });
  }
  const self = process.getuid?.();
  if (self !== undefined && ((mode & 0o077) !== 0 || owner !== self)) {
    throw new CountersignError("HOME_INSECURE", `${path} is open to others (mode ${mode.toString(8)})`, {
      hint: `chmod 600 ${path}, then make a new token: the old one may have been read`,
    });
  }
  return text;
}
