import { z } from "zod";
import { verifySshSignature } from "../../base/sshsig.ts";
import { err, ok, type Result } from "../../base/result.ts";
import type { Proof } from "../../consent/entries.ts";
import { parseStatement } from "../../consent/parse-statement.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../consent/statement.ts";
import { isFault } from "../../errors.ts";
import { problem, type Problem } from "./problem.ts";

const schema = z.strictObject({
  statement: z.unknown(),
  proof: z.strictObject({
    kind: z.literal("sshsig"),
    signature: z
      .string()
      .min(1)
      .max(32 * 1024),
  }),
});

/** A statement and its proof, whose signature verifies over exactly that statement. Who that is, the desk says. */
export function parseDecision(
  value: unknown,
): Result<{ readonly statement: Statement; readonly proof: Proof }, Problem> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return err(
      problem("bad_request", `/${issue?.path.map(String).join("/") ?? ""}: ${issue?.message ?? ""}`),
    );
  }
  let statement: Statement;
  let message: Uint8Array;
  try {
    statement = parseStatement(parsed.data.statement);
    message = statementBytes(statement);
  } catch (error) {
    if (isFault(error)) return err(problem("invalid_statement", error.message));
    throw error;
  }
  const { signature } = parsed.data.proof;
  const verified = verifySshSignature({ armoured: signature, message, namespace: SSHSIG_NAMESPACE });
  if (!verified.ok) return err(problem("invalid_signature", verified.error.message));
  const { fingerprint } = verified.value;
  return ok({ statement, proof: { kind: "sshsig", signature, fingerprint, channel: "api" } });
}
