import { readFile, writeFile } from "node:fs/promises";
import { neutralLine } from "../base/text.ts";
import { usage } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

// A statement that is signed on another machine: its exact bytes go out as a file, and come back with a signature.

/** Writes the bytes to sign, and says what to do with them. */
export async function writeStatement(
  terminal: Terminal,
  statement: { readonly bytes: Uint8Array; readonly namespace: string },
  file: string,
  handInWith: string,
): Promise<void> {
  await writeFile(file, statement.bytes, { flag: "wx", mode: 0o600 }).catch(
    (cause: NodeJS.ErrnoException) => {
      throw usage(
        `${neutralLine(file)} ${cause.code === "EEXIST" ? "exists already" : "cannot be written"}`,
        "name another file",
      );
    },
  );
  const shown = neutralLine(file);
  terminal.out(`wrote ${shown}: the exact bytes to sign. Where the key is, run:`);
  terminal.out(`  ssh-keygen -Y sign -n ${statement.namespace} -f KEY ${shown}`);
  terminal.out("then hand both files in:");
  terminal.out(`  countersign ${handInWith} --statement ${shown} --signature ${shown}.sig`);
}

export interface HandedIn {
  /** Absolute or relative, as the person named it. */
  readonly statementFile: string;
  readonly bytes: Buffer;
  /** Armoured SSHSIG. */
  readonly signature: string;
}

/**
 * Reads a statement file and the signature over it; without `statementFile`, the signature's name without `.sig`.
 * @throws CountersignError `USAGE`
 */
export async function readHandedIn(
  signatureFile: string,
  statementFile: string | undefined,
): Promise<HandedIn> {
  const named = statementFile ?? signatureFile.replace(/\.sig$/, "");
  if (named === signatureFile) throw usage("--signature needs --statement, the file that was signed");
  const signature = (await readGiven(signatureFile)).toString("utf8");
  return { statementFile: named, bytes: await readGiven(named), signature };
}

async function readGiven(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch {
    throw usage(`${neutralLine(file)} cannot be read`, "name a file that exists");
  }
}
