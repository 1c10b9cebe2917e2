import { isFault, type FaultCode } from "../../errors.ts";
import { DECISION_REFUSALS, type DecisionRefusalCode } from "../../consent/entries.ts";

// Errors of the API as RFC 9457 problem documents. `code` is what programs look at; it is the same word everywhere.

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** What the API itself refuses, before anyone is asked. */
export const API_PROBLEMS = {
  bad_request: { status: 400, title: "the request is malformed" },
  unauthenticated: { status: 401, title: "the API's own bearer token is needed" },
  wrong_origin: { status: 403, title: "pages of other origins may not call this listener" },
  not_found: { status: 404, title: "there is nothing here" },
  other_question: { status: 409, title: "the statement is about another request" },
  too_large: { status: 413, title: "the body is too large" },
  wrong_media_type: { status: 415, title: "content-type must be application/json" },
  wrong_host: { status: 421, title: "this listener does not answer to that name" },
  key_reused: { status: 422, title: "the idempotency key was used for another body" },
  invalid_statement: { status: 422, title: "the statement is malformed" },
  invalid_signature: { status: 422, title: "the signature does not verify over the statement" },
  internal: { status: 500, title: "the gateway could not answer; its log has the cause" },
} as const;
export type ApiProblemCode = keyof typeof API_PROBLEMS;

export const PROBLEM_TYPE = "application/problem+json";

export const problem = (code: ApiProblemCode, detail?: string): Problem => ({
  ...document(code, API_PROBLEMS[code].status, API_PROBLEMS[code].title),
  ...(detail === undefined ? {} : { detail }),
});

/** Whose doing it is: who signs, against what stands already, or the statement itself. */
const DECISION_STATUS: Readonly<Record<DecisionRefusalCode, 403 | 409 | 422 | 503>> = {
  unknown_signer: 403,
  not_eligible: 403,
  self_approval: 403,
  assurance_too_low: 403,
  wrong_person: 403,
  not_solo: 403,
  digest_mismatch: 409,
  summary_mismatch: 422,
  expired: 409,
  already_settled: 409,
  duplicate: 409,
  partial_view: 409,
  taken_back: 409,
  nothing_to_take_back: 409,
  clock_skew: 422,
  clock_behind: 503,
};

/** A decision that the desk did not take. */
export const decisionProblem = (code: DecisionRefusalCode, detail: string): Problem => ({
  ...document(code, DECISION_STATUS[code], DECISION_REFUSALS[code]),
  detail,
});

const FAULT_STATUS: Partial<Record<FaultCode, number>> = {
  REQUEST_NOT_FOUND: 404,
  REQUEST_AMBIGUOUS: 409,
  DECISION_REFUSED: 422,
  SIGNATURE_INVALID: 422,
  CREDENTIAL_REFUSED: 403,
  INVITATION_INVALID: 403,
  SIGN_IN_REFUSED: 403,
  TOO_MANY_TRIES: 429,
  ARGUMENTS_UNREPRESENTABLE: 422,
  BLOB_MISSING: 410,
  STORE_CLOSED: 503,
  STORE_FULL: 503,
};

/** A fault as far as a caller may know it; null where only the operator may. */
export function faultProblem(error: unknown): Problem | null {
  if (!isFault(error)) return null;
  const status = FAULT_STATUS[error.code];
  if (status === undefined) return null;
  const words = error.code.toLowerCase();
  // What broke inside is the operator's business; what the caller got wrong is the caller's.
  if (status >= 500)
    return document(words, status, "the gateway cannot write its log; its own log has the cause");
  return {
    ...document(words, status, words.replaceAll("_", " ")),
    detail: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}

const document = (code: string, status: number, title: string): Problem => ({
  type: `urn:countersign:problem:${code}`,
  title,
  status,
  code,
});

/** A problem document as a response. */
export const answerProblem = (what: Problem): Response =>
  new Response(JSON.stringify(what), { status: what.status, headers: { "content-type": PROBLEM_TYPE } });
