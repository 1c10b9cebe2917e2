import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { verifySshSignature } from "../../../base/sshsig.ts";
import { neutralLine } from "../../../base/text.ts";
import { CountersignError } from "../../../errors.ts";
import { runProgram, type ProgramRun } from "./run-program.ts";
import type { LocalKey, SshSurroundings } from "./ssh-key.ts";

// Signs bytes with a person's SSH key, through the real ssh-keygen.
//
//   C6. Someone alone signs with a key *file* whose passphrase is asked on the terminal every time. An agent that runs
//       as the same OS user reaches ssh-agent and can set SSH_ASKPASS, so for a solo signature neither exists for
//       ssh-keygen, and a key that opens without a passphrase is refused. A terminal check alone is no security.
//
// ssh-keygen asks for a passphrase only while its standard input is a terminal, so the bytes go through a file. A
// program of the same account could swap that file while the passphrase is typed. That can't be prevented here (such a
// program could as well replace ssh-keygen); it is noticed, because the signature is checked against our own bytes.

export interface SignRequest {
  readonly bytes: Uint8Array;
  readonly namespace: string;
  readonly key: LocalKey;
  /** C6 applies: this signature alone will let the request run. */
  readonly solo: boolean;
  /** Whether the key was enrolled as one that verifies its user; such a key needs no passphrase (A3). */
  readonly userVerified: boolean;
  /** Whether a person sits at the terminal that ssh-keygen may ask. */
  readonly interactive: boolean;
}

/** Where ssh-keygen finds a graphical way to ask, or keys without asking. None of it exists for a solo signature. */
const WAYS_AROUND_THE_TERMINAL = [
  "SSH_AUTH_SOCK",
  "SSH_AGENT_PID",
  "SSH_ASKPASS",
  "SSH_ASKPASS_REQUIRE",
  "SSH_SK_PROVIDER",
  "SSH_SK_HELPER",
  "DISPLAY",
  "WAYLAND_DISPLAY",
];

/**
 * An armoured SSHSIG over `bytes`.
 * @throws CountersignError `SIGNING_FAILED`
 */
export async function signWithSsh(request: SignRequest, ssh: SshSurroundings): Promise<string> {
  const env = request.solo ? without(ssh.env, WAYS_AROUND_THE_TERMINAL) : ssh.env;
  if (request.solo) await demandSoloKey(request, env);
  const dir = await mkdtemp(join(tmpdir(), "countersign-sign-"));
  try {
    const statement = join(dir, "statement");
    await writeFile(statement, request.bytes, { mode: 0o600, flag: "wx" });
    // With the public half alone, ssh-keygen asks the agent for the key.
    const keyFile = request.key.file ?? join(dir, "key.pub");
    if (request.key.file === null)
      await writeFile(keyFile, `${request.key.publicLine}\n`, { mode: 0o600, flag: "wx" });
    const run = await keygen(["-q", "-Y", "sign", "-n", request.namespace, "-f", keyFile, statement], {
      env,
      terminal: request.interactive,
    });
    if (run.exitCode !== 0) throw failed(request, run);
    const signature = await readFile(`${statement}.sig`, "utf8");
    demandOwn(signature, request);
    return signature;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function demandSoloKey(request: SignRequest, env: Readonly<Record<string, string>>): Promise<void> {
  if (!request.interactive) {
    throw new CountersignError("SIGNING_FAILED", "an approval by someone alone needs a terminal (C6)", {
      hint: "run the command yourself, in a terminal",
    });
  }
  if (request.key.file === null) {
    throw new CountersignError(
      "SIGNING_FAILED",
      "an approval by someone alone needs a key file, not an agent's key (C6)",
      {
        hint: "name the key file: --key ~/.ssh/id_ed25519",
      },
    );
  }
  if (request.userVerified) return;
  const probe = await keygen(["-y", "-P", "", "-f", request.key.file], { env });
  if (probe.exitCode === 0) {
    throw new CountersignError(
      "SIGNING_FAILED",
      "this key opens without a passphrase, so any program of your account could approve with it (C6)",
      {
        hint: `give it a passphrase: ssh-keygen -p -f ${request.key.file}`,
        details: { solo: "no_passphrase" },
      },
    );
  }
  if (!/incorrect passphrase/i.test(probe.stderr)) throw failed(request, probe);
}

/** What came back must be our bytes under the key that was chosen; anything else was swapped on the way. */
function demandOwn(signature: string, request: SignRequest): void {
  const { bytes: message, namespace } = request;
  const verified = verifySshSignature({ armoured: signature, message, namespace });
  if (verified.ok && verified.value.fingerprint === request.key.fingerprint) return;
  throw new CountersignError(
    "SIGNING_FAILED",
    "what was signed is not what was shown, or not with the key that was chosen",
    {
      hint: "another program may have changed the file while it was signed: find out before you sign again",
      details: { swapped: true },
    },
  );
}

async function keygen(
  args: readonly string[],
  options: {
    readonly env: Readonly<Record<string, string>>;
    readonly terminal?: boolean;
  },
): Promise<ProgramRun> {
  try {
    return await runProgram("ssh-keygen", args, options);
  } catch (cause) {
    throw new CountersignError("SIGNING_FAILED", "ssh-keygen could not be started", {
      hint: "install OpenSSH 8.2 or newer; or sign elsewhere: --print-statement FILE, then --signature FILE",
      cause,
    });
  }
}

function failed(request: SignRequest, run: ProgramRun): CountersignError {
  const said = run.stderr.trim().split("\n").at(-1) ?? "";
  const where = request.key.file ?? "the agent";
  return new CountersignError(
    "SIGNING_FAILED",
    `ssh-keygen made no signature with ${where}${said === "" ? "" : `: ${neutralLine(said)}`}`,
    {
      hint: request.interactive
        ? "try again, or choose another key: --key FILE"
        : "a key with a passphrase needs a terminal or an agent; or sign elsewhere: --print-statement FILE",
    },
  );
}

function without(
  env: Readonly<Record<string, string>>,
  names: readonly string[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.includes(name)));
}
