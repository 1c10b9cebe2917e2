import { isFault, type FaultCode } from "../../errors.ts";
import { REFUSALS, type RefusalCode } from "../../request/refusal.ts";
import { DECISION_REFUSALS, type DecisionRefusalCode } from "../../consent/entries.ts";

// Errors of the API as RFC 9457 problem documents. `code` is what programs look at; it is the same word everywhere.

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail?: string;
  /** The next step. */
  readonly hint?: string;
  /** Of `scope_missing`: the scope. */
  readonly scope?: string;
  /** Of a call that was turned away: the request it was recorded as. */
  readonly request?: string;
  /** Milliseconds after which the same may be tried again. */
  readonly retry_after_ms?: number;
}

/** What the API itself refuses, before anyone is asked. docs/errors.md has one heading each. */
export const API_PROBLEMS = {
  bad_request: {
    status: 400,
    title: "the request is malformed",
    hint: "compare it with GET /api/v1/openapi.json",
  },
  unauthenticated: {
    status: 401,
    title: "a token of the API or a session is needed",
    hint: "send Authorization: Bearer with a token of the API; countersign token new makes one",
  },
  wrong_origin: {
    status: 403,
    title: "pages of other origins may not call this listener",
    hint: "open the console at the gateway's own address",
  },
  csrf: {
    status: 403,
    title: "the session's CSRF token is needed",
    hint: "send it as X-CSRF-Token; it stands in GET /api/v1/session",
  },
  scope_missing: {
    status: 403,
    title: "the token lacks a scope",
    hint: "the operator adds it to api.tokens in countersign.yaml, and starts the gateway again",
  },
  needs_session: {
    status: 403,
    title: "only a person who signed in may do this",
    hint: "sign in to the console",
  },
  needs_acting_token: {
    status: 403,
    title: "the token acts for nobody",
    hint: "give it principal and agent in api.tokens of countersign.yaml",
  },
  wrong_person: {
    status: 403,
    title: "the statement names another person",
    hint: "draft it for the person who signs",
  },
  not_found: { status: 404, title: "there is nothing here", hint: "the routes: GET /api/v1/openapi.json" },
  other_question: {
    status: 409,
    title: "the statement is about another request",
    hint: "draft it from the request that the path names",
  },
  too_large: { status: 413, title: "the body is too large", hint: "send less" },
  wrong_media_type: {
    status: 415,
    title: "content-type must be application/json",
    hint: "send Content-Type: application/json, uncompressed",
  },
  wrong_host: {
    status: 421,
    title: "this listener does not answer to that name",
    hint: "use the address it names, or add the name to api.hosts in countersign.yaml",
  },
  key_reused: {
    status: 422,
    title: "the idempotency key was used for another body",
    hint: "a new key for a new body",
  },
  invalid_statement: {
    status: 422,
    title: "the statement is malformed",
    hint: "take it from the gateway's draft as it is",
  },
  invalid_signature: {
    status: 422,
    title: "the signature does not verify over the statement",
    hint: "sign the exact bytes of the draft",
  },
  too_many: { status: 429, title: "too many requests", hint: "wait as Retry-After says" },
  internal: {
    status: 500,
    title: "the gateway could not answer; its log has the cause",
    hint: "the operator looks at the gateway's standard error",
  },
  not_served: {
    status: 501,
    title: "this gateway does not offer that",
    hint: "start it with the part that does",
  },
} as const satisfies Record<string, { status: number; title: string; hint: string }>;
export type ApiProblemCode = keyof typeof API_PROBLEMS;

export const PROBLEM_TYPE = "application/problem+json";

export const problem = (code: ApiProblemCode, detail?: string): Problem => ({
  ...document(code, API_PROBLEMS[code].status, API_PROBLEMS[code].title),
  ...(detail === undefined ? {} : { detail }),
  hint: API_PROBLEMS[code].hint,
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
  too_many_inquiries: 409,
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
  hint: `docs/errors.md, ${code}`,
});

const FAULT_STATUS: Partial<Record<FaultCode, number>> = {
  CURSOR_INVALID: 400,
  REQUEST_NOT_FOUND: 404,
  REQUEST_AMBIGUOUS: 409,
  DECISION_REFUSED: 422,
  SIGNATURE_INVALID: 422,
  CREDENTIAL_REFUSED: 403,
  INVITATION_INVALID: 403,
  SIGN_IN_REFUSED: 403,
  TOO_MANY_TRIES: 429,
  ARGUMENTS_UNREPRESENTABLE: 422,
  ADOPTION_REFUSED: 409,
  POLICY_NOT_ADOPTED: 409,
  POLICY_INVALID: 422,
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
  if (status >= 500) {
    return {
      ...document(words, status, "the gateway cannot write its log; its own log has the cause"),
      hint: API_PROBLEMS.internal.hint,
    };
  }
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

/** A refusal of another part, in its own code and words. */
export const refusedBecause = ({
  code,
  message,
}: {
  readonly code: string;
  readonly message: string;
}): Problem => {
  if (code in DECISION_STATUS) return decisionProblem(code as DecisionRefusalCode, message);
  if (code in REFUSALS) return refusedCall({ code: code as RefusalCode, message, request: null });
  return {
    ...document(code, 409, code.replaceAll("_", " ")),
    detail: message,
    hint: `docs/errors.md, ${code}`,
  };
};

const CALL_STATUS: Readonly<Record<string, number>> = {
  unknown_inquiry: 404,
  call_too_large: 413,
  unknown_ticket: 404,
  unknown_requester: 403,
  insufficient_scope: 403,
  rate_limited: 429,
  disk_low: 503,
  clock_behind: 503,
  gate_closed: 503,
};

/** A call that ended before it was a request, in the words of the catalogue. */
export const refusedCall = (parts: {
  readonly code: RefusalCode;
  readonly message: string;
  /** As which the attempt was recorded, where it was. */
  readonly request: string | null;
  readonly retryAfterMs?: number | null;
}): Problem => ({
  ...document(parts.code, CALL_STATUS[parts.code] ?? 422, parts.code.replaceAll("_", " ")),
  detail: parts.message,
  hint: REFUSALS[parts.code].advice,
  ...(parts.request === null ? {} : { request: parts.request }),
  ...(typeof parts.retryAfterMs === "number" ? { retry_after_ms: parts.retryAfterMs } : {}),
});

/** A problem document as a response. */
export const answerProblem = (what: Problem): Response =>
  new Response(JSON.stringify(what), {
    status: what.status,
    headers: {
      "content-type": PROBLEM_TYPE,
      ...(what.retry_after_ms === undefined
        ? {}
        : { "retry-after": String(Math.ceil(what.retry_after_ms / 1_000)) }),
      ...(what.status === 401 ? { "www-authenticate": 'Bearer realm="countersign-api"' } : {}),
    },
  });
