import { readFile } from "node:fs/promises";
import { err, ok, type Result } from "../base/result.ts";

/** The text of a file that proposes something; one that cannot be read is a proposal that does not load. */
export async function readProposed(file: string): Promise<Result<string, readonly string[]>> {
  try {
    return ok(await readFile(file, "utf8"));
  } catch (error) {
    return err([`${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`]);
  }
}
