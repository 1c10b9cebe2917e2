import * as z from "zod";
import { PHASES } from "../../request/summary.ts";
import { toolViewSchema } from "../../preview/view.ts";
import { ASSURANCES } from "../../policy/verdict.ts";

// The documents that several routes give or take, as schemas: what is served is what is described.

export const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, "expected sha256: and 64 hex digits")
  .meta({ id: "Digest", description: "`sha256:` and 64 lower-case hex digits." });
export const time = z.iso.datetime({ precision: 3 }).meta({ id: "Time", description: "UTC, milliseconds." });
export const requestId = z.string().meta({ id: "RequestId", description: "`req_` and a ULID." });
export const assurance = z.enum(ASSURANCES).meta({
  id: "Assurance",
  description:
    "What a proof shows: A1 the platform says, A2 a fresh session or a software key, A3 a verified user.",
});
export const person = z
  .string()
  .meta({ id: "Person", description: "A key under `people:` in the adopted policy." });

export const phase = z.enum(PHASES).meta({ id: "Phase" });

export const requestSummary = z
  .strictObject({
    id: requestId,
    phase,
    tool: z.string(),
    environments: z.array(z.string()),
    principal: z.string(),
    agent: z.string(),
    summary: z.string().nullable().describe("The effect in one line; text of the tool, to be shown as text."),
    code: z.string().nullable().describe("Six characters that people compare; null until they are asked."),
    reasonCode: z.string().nullable(),
    receivedAt: z.number().describe("Epoch milliseconds."),
    updatedAt: z.number(),
    newestSeq: z.number(),
  })
  .meta({ id: "RequestSummary" });

const target = z.strictObject({ kind: z.string(), id: z.string(), environment: z.string() });
export const requester = z
  .strictObject({
    principal: z.strictObject({ kind: z.enum(["person", "service"]), id: z.string() }),
    agent: z.string(),
    chain: z.array(z.string()),
    owners: z.array(z.string()),
  })
  .meta({ id: "Requester" });

export const question = z
  .strictObject({
    typ: z.literal("countersign.question"),
    v: z.literal(1),
    log: z.string(),
    request: requestId,
    requester,
    tool: z.string(),
    tool_definition: digest,
    arguments: digest,
    targets: z.array(target),
    plan: digest,
    files: z.array(digest),
    view: digest,
    reasoning: digest.nullable(),
    guard: z.string(),
    fidelity: z.string(),
    requirement: digest,
    execute: z.enum(["on_approval", "when_attached"]),
    nonce: z.string(),
    asked_at: time,
    deadline: time,
  })
  .meta({ id: "Question", description: "What people are asked. Its digest is what they sign." });

const step = z.strictObject({ afterMs: z.number(), to: z.array(z.string()) });
export const clause = z
  .strictObject({
    from: z.array(z.string()),
    count: z.number().int(),
    assurance,
    escalate: z.array(step).optional(),
  })
  .meta({ id: "Clause", description: "So many distinct people of these groups, with that proof." });

export const requirement = z
  .strictObject({
    clauses: z.array(clause),
    withinMs: z.number(),
    executeWithinMs: z.number(),
    execute: z.enum(["on_approval", "when_attached"]),
    masks: z.array(z.string()),
    solo: person.nullable(),
    registration: z.string().nullable(),
    remindMs: z.number().optional(),
  })
  .meta({ id: "Requirement" });

export const quorum = z
  .strictObject({
    clauses: z.array(z.strictObject({ clause, by: z.array(person), missing: z.number().int() })),
    met: z.boolean(),
  })
  .meta({ id: "Quorum", description: "How far each clause is." });

export const view = z
  .strictObject({
    typ: z.literal("countersign.view"),
    v: z.literal(1),
    effectLine: z.string(),
    tool: z.string(),
    effect: z.string(),
    targets: z.array(target),
    arguments: z.string().describe("After masking, RFC 8785 text."),
    preview: toolViewSchema,
    rules: z.array(z.strictObject({ id: z.string(), because: z.string().nullable() })),
    reasoning: z.strictObject({ justification: z.string().nullable(), chain: z.string().nullable() }),
    isolation: z.enum(["service", "none"]),
  })
  .meta({
    id: "View",
    description: "What people are shown. Text in it may be an attacker's: show it as text (P3).",
  });

export const statement = z
  .strictObject({
    typ: z.literal("countersign.decision"),
    v: z.literal(1),
    decision: z.enum(["approve", "deny", "take_back"]),
    question: digest,
    summary: z.string(),
    approver: person,
    solo: z.boolean(),
    reason: z.string().nullable(),
    fixable: z.literal(true).optional(),
    takes_back: digest.nullable(),
    log: z.strictObject({ size: z.number().int(), root: digest }).nullable(),
    issued_at: time,
  })
  .meta({ id: "Statement", description: "Exactly what a person's key signs." });

/** What a key has to sign, in the forms that keys take. */
export const toSign = z
  .strictObject({
    namespace: z.string().describe("SSHSIG namespace: ssh-keygen -Y sign -n NAMESPACE."),
    bytes: z.string().describe("Base64: the exact bytes to sign."),
    challenge: z.string().describe("Base64url SHA-256 of the bytes: the challenge of a passkey."),
  })
  .meta({ id: "ToSign" });

const base64url = (most: number): z.ZodString =>
  z
    .string()
    .min(1)
    .max(most)
    .regex(/^[A-Za-z0-9_-]+$/, "expected base64url");

/** A proof as it may come from outside. Who and what it shows, the desk finds out. */
export const proofBody = z
  .discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("sshsig"),
      signature: z
        .string()
        .min(1)
        .max(32 * 1024),
    }),
    z.strictObject({
      kind: z.literal("webauthn"),
      credential: base64url(2_048),
      authenticator_data: base64url(8_192),
      client_data: base64url(8_192),
      signature: base64url(2_048),
    }),
    z
      .strictObject({ kind: z.literal("session") })
      .describe("From a session only: the gateway says that this session made the statement."),
  ])
  .meta({ id: "Proof" });

export const reply = z
  .discriminatedUnion("status", [
    z.strictObject({
      status: z.literal("done"),
      request: requestId,
      summary: z.string(),
      output: z.unknown().describe("JSON: what the tool gave."),
      repeats: time.optional().describe("When it had been done, where this call repeats one that had ended."),
    }),
    z.strictObject({
      status: z.literal("failed"),
      request: requestId,
      code: z.string(),
      message: z.string(),
    }),
    z.strictObject({ status: z.literal("unknown"), request: requestId, message: z.string() }),
    z.strictObject({
      status: z.literal("pending"),
      ticket: requestId,
      code: z.string().nullable(),
      because: z.array(z.string()),
      deadline: time.nullable(),
      waitingFor: z.string(),
      retryAfterMs: z.number(),
      inquiries: z
        .array(z.strictObject({ id: z.string(), text: z.string() }))
        .optional()
        .describe("What people ask and nobody has answered; answer with POST …/answers."),
    }),
    z.strictObject({
      status: z.literal("refused"),
      request: requestId.nullable(),
      code: z.string(),
      class: z.enum(["denied_final", "denied_fixable", "expired", "stale", "withdrawn"]),
      deniedBy: z.enum(["policy", "person", "gate"]),
      message: z.string(),
      because: z.array(z.string()),
      reason: z.string().nullable(),
      advice: z.string(),
      retryAfterMs: z.number().nullable(),
    }),
  ])
  .meta({ id: "Reply", description: "What the caller of an action is told." });

export const problemDocument = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    code: z.string().describe("What programs look at; docs/errors.md has one heading each."),
    detail: z.string().optional(),
    hint: z.string().optional().describe("The next step."),
    scope: z.string().optional(),
    request: requestId.optional(),
    retry_after_ms: z.number().optional(),
  })
  .meta({ id: "Problem", description: "RFC 9457." });

/** One entry of the log, as it stands there. */
export const entry = z
  .strictObject({
    v: z.literal(1),
    seq: z.number().int(),
    time,
    kind: z.string(),
    subject: z.string(),
    policy: digest.nullable(),
    keys: z.array(z.strictObject({ key: z.string(), until: z.number().nullable() })).optional(),
    more: z.number().int().optional(),
    data: z.looseObject({}),
  })
  .meta({ id: "Entry", description: "docs/log-format.md has what stands in `data`, by kind." });

export const countOf = (most: number, usual: number): z.ZodDefault<z.ZodCoercedNumber> =>
  z.coerce
    .number(`must be a whole number from 1 to ${most}`)
    .int(`must be a whole number from 1 to ${most}`)
    .min(1, `must be a whole number from 1 to ${most}`)
    .max(most, `must be a whole number from 1 to ${most}`)
    .default(usual);
