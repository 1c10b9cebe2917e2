import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The path of a program, where this machine has it. */
export function findProgram(name: string): string | null {
  for (const dir of [
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/opt/homebrew/bin",
    ...(process.env["PATH"] ?? "").split(delimiter),
  ]) {
    try {
      accessSync(join(dir, name), constants.X_OK);
      return join(dir, name);
    } catch {
      // Not there.
    }
  }
  return null;
}
