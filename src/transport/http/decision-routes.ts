import * as z from "zod";
import { isDigest, type Digest } from "../../base/digest.ts";
import { err, ok, type Result } from "../../base/result.ts";
import { parseStatement } from "../../consent/parse-statement.ts";
import { questionDigest } from "../../consent/question.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../consent/statement.ts";
import { isFault } from "../../errors.ts";
import { personOf, type Actor } from "./actor.ts";
import type { RouteParts } from "./api-routes.ts";
import { proofBody, quorum, statement as statementSchema, time, toSign } from "./documents.ts";
import { decisionProblem, problem, type Problem } from "./problem.ts";
import { proofOf } from "./proof-of.ts";
import { questionOf } from "./request-routes.ts";
import { defineRoute, type Route } from "./route.ts";
import { signThis } from "./sign-this.ts";

const draftQuery = z.strictObject({
  person: z.string().min(1).max(128).optional().describe("Who signs. Of a session: its own person."),
  decision: z.enum(["approve", "deny", "take_back"]),
  reason: z.string().max(2_000).optional(),
  fixable: z
    .enum(["true", "false"])
    .optional()
    .describe("Of a deny: the agent may correct the call and ask again."),
  log_size: z.coerce
    .number()
    .int()
    .nonnegative()
    .optional()
    .describe("Of a checkpoint that the signer checked."),
  log_root: z.custom<Digest>(isDigest, "expected sha256: and 64 hex digits").optional(),
});

export const signedBody = z.strictObject({
  statement: z.unknown().describe("As the draft gave it."),
  proof: proofBody,
});

const answer = z
  .discriminatedUnion("state", [
    z.strictObject({ state: z.literal("recorded"), quorum }),
    z.strictObject({ state: z.literal("not_counted"), code: z.string(), quorum }),
    z.strictObject({ state: z.literal("granted"), solo: z.boolean(), executeBy: time }),
    z.strictObject({ state: z.literal("denied") }),
    z.strictObject({ state: z.literal("taken_back"), quorum }),
  ])
  .meta({ id: "DecisionAnswer" });

export function decisionRoutes({ home }: RouteParts): readonly Route[] {
  const { desk, requests, store } = home;
  return [
    defineRoute({
      method: "GET",
      path: "/requests/:ref/draft",
      id: "draftDecision",
      tag: "decisions",
      summary: "The statement that a person would sign, and the bytes to sign.",
      scope: "requests:read",
      query: draftQuery,
      answers: {
        200: {
          description: "The draft. Nothing is recorded by asking for one.",
          schema: z.strictObject({ statement: statementSchema, sign: toSign }),
        },
      },
      problems: ["request_not_found", "request_ambiguous", "wrong_person"],
      async handle({ actor, query, param }) {
        const signer = signerOf(actor, query.person);
        if (!signer.ok) return { refused: signer.error };
        const { decision, reason, fixable, log_size: size, log_root: root } = query;
        if (fixable === "true" && decision !== "deny")
          return { refused: problem("bad_request", "fixable: only a deny can be fixable") };
        await store.catchUp();
        const summary = await requests.find(param("ref"));
        const drafted = await desk.draft(summary.id, {
          decision,
          person: signer.value,
          reason: reason ?? null,
          log: size === undefined || root === undefined ? null : { size, root },
        });
        const statement: Statement = fixable === "true" ? { ...drafted, fixable: true } : drafted;
        const sign = signThis(SSHSIG_NAMESPACE, statementBytes(statement));
        return { document: { statement, sign } };
      },
    }),

    defineRoute({
      method: "POST",
      path: "/requests/:ref/decisions",
      id: "decide",
      tag: "decisions",
      summary: "Hands in a signed decision. It counts by its proof, whoever hands it in.",
      scope: "statements:write",
      body: signedBody,
      replays: true,
      proof: true,
      answers: { 200: { description: "Taken; it is durable.", schema: answer } },
      problems: [
        ...["request_not_found", "request_ambiguous", "other_question", "invalid_statement"],
        ...["invalid_signature", "signature_invalid", "wrong_person", "unknown_signer", "not_eligible"],
        ...["self_approval", "assurance_too_low", "expired", "already_settled", "duplicate", "partial_view"],
        ...["summary_mismatch", "taken_back", "nothing_to_take_back", "not_solo", "clock_skew"],
        ...["clock_behind", "needs_session", "key_reused"],
      ],
      async handle({ actor, body, param }) {
        await store.catchUp();
        const summary = await requests.find(param("ref"));
        const statement = read(body.statement);
        if (!statement.ok) return { refused: statement.error };
        const { value } = statement;
        const proof = proofOf(
          actor,
          { bytes: statementBytes(value), namespace: SSHSIG_NAMESPACE, approver: value.approver },
          body.proof,
        );
        if (!proof.ok) return { refused: proof.error };
        const asked = questionOf(await requests.history(summary.id));
        // A statement is about its question, whatever path it came by; a path that says otherwise is a mistake to show.
        if (asked === null || questionDigest(asked) !== value.question)
          return { refused: problem("other_question") };
        const decided = await desk.decide(value, proof.value);
        if (!decided.ok) return { refused: decisionProblem(decided.error.code, decided.error.message) };
        return { document: decided.value };
      },
    }),
  ];
}

/** Who would sign: a session's own person, or whom a program names. */
export function signerOf(actor: Actor, named: string | undefined): Result<string, Problem> {
  const person = personOf(actor);
  if (person === null)
    return named === undefined ? err(problem("bad_request", "person: say who would sign")) : ok(named);
  if (named !== undefined && named !== person)
    return err(problem("wrong_person", `this session is of "${person}"`));
  return ok(person);
}

function read(value: unknown): Result<Statement, Problem> {
  try {
    return ok(parseStatement(value));
  } catch (error) {
    if (isFault(error)) return err(problem("invalid_statement", error.message));
    throw error;
  }
}
