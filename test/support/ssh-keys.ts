import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSshPublicKeyLine } from "../../src/base/ssh-key.ts";
import type { SshSurroundings } from "../../src/consent/channels/cli/ssh-key.ts";

/** Real keys, made by the real ssh-keygen, in a directory of their own. */
export interface KeyDir {
  readonly dir: string;
  readonly ssh: SshSurroundings;
  /** Makes `<name>` and `<name>.pub`; returns the fingerprint. */
  make(name: string, type?: "ed25519" | "ecdsa" | "rsa", passphrase?: string): string;
  fingerprint(name: string): string;
  remove(): void;
}

/** Why real signing can't be tested here; null where it can. */
export function missingSshKeygen(): string | null {
  try {
    execFileSync("ssh-keygen", ["-?"], { stdio: "ignore" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "ssh-keygen is not installed";
  }
  return null;
}

export function createKeyDir(): KeyDir {
  const dir = mkdtempSync(join(tmpdir(), "countersign-keys-"));
  const fingerprint = (name: string): string =>
    parseSshPublicKeyLine(readFileSync(join(dir, `${name}.pub`), "utf8").trim()).fingerprint;
  return {
    dir,
    ssh: { keyDir: dir, env: { PATH: process.env["PATH"] ?? "", HOME: dir } },
    make(name, type = "ed25519", passphrase = "") {
      const size = type === "rsa" ? ["-b", "2048"] : [];
      execFileSync(
        "ssh-keygen",
        ["-q", "-t", type, ...size, "-N", passphrase, "-C", `${name}@test`, "-f", join(dir, name)],
        { stdio: "ignore" },
      );
      return fingerprint(name);
    },
    fingerprint,
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** What the real ssh-keygen says of a signature, checked against an allowed-signers line for the key. */
export function opensshVerifies(
  keys: KeyDir,
  name: string,
  namespace: string,
  bytes: Uint8Array,
  signature: string,
): boolean {
  const signers = join(keys.dir, "allowed_signers");
  const file = join(keys.dir, "checked.sig");
  writeFileSync(signers, `ana ${readFileSync(join(keys.dir, `${name}.pub`), "utf8")}`);
  writeFileSync(file, signature);
  try {
    execFileSync("ssh-keygen", ["-Y", "verify", "-f", signers, "-I", "ana", "-n", namespace, "-s", file], {
      input: bytes,
      stdio: ["pipe", "ignore", "ignore"],
    });
    return true;
  } catch {
    return false;
  }
}
