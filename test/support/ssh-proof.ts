import type { Proof, SshProof } from "../../src/consent/entries.ts";

/** The proof as an SSH signature; anything else is a mistake of the test. */
export function sshProof(proof: Proof | undefined): SshProof {
  if (proof?.kind === "sshsig") return proof;
  throw new Error(`expected an SSH signature, got ${proof?.kind ?? "nothing"}`);
}
