import { readFile, stat } from "node:fs/promises";
import { CountersignError } from "../errors.ts";

/**
 * The bearer token that a file holds, and nothing else.
 * @throws CountersignError `CONFIG_INVALID` where it can't be read or is no token, `HOME_INSECURE` where others may read it
 */
export async function readTokenFile(path: string, platform: NodeJS.Platform): Promise<string> {
  const invalid = (what: string, cause?: unknown): CountersignError =>
    new CountersignError("CONFIG_INVALID", `${path} ${what}`, {
      hint: "one line is expected: the token that the gateway's operator gave you, csm_…",
      cause,
    });
  const found = await stat(path).catch((cause: unknown) => {
    throw invalid("can't be read", cause);
  });
  if (!found.isFile()) throw invalid("is no file");
  if (platform !== "win32" && (found.mode & 0o077) !== 0) {
    throw new CountersignError("HOME_INSECURE", `${path} holds a token, and others may read it`, {
      hint: `chmod 600 ${path}`,
    });
  }
  if (found.size > 4096) throw invalid("is too long for a token");
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw invalid("can't be read", cause);
  });
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw invalid("holds no token");
  return token;
}
