import * as z from "zod";
import type { RequestId } from "../../base/id.ts";
import { err, ok, type Result } from "../../base/result.ts";
import type { Proof } from "../../consent/entries.ts";
import {
  SETTLEMENT_NAMESPACE,
  settlementBytes,
  type SettlementStatement,
} from "../../execution/settlement.ts";
import type { Reply } from "../../gate/reply.ts";
import type { PersonId } from "../../request/principal.ts";
import type { RouteParts } from "./api-routes.ts";
import { signedBody, signerOf } from "./decision-routes.ts";
import { person, reply, requestId, time, toSign } from "./documents.ts";
import type { Refusal } from "./inquiry-routes.ts";
import { problem, refusedBecause, type Problem } from "./problem.ts";
import { proofOf } from "./proof-of.ts";
import { defineRoute, type Route } from "./route.ts";
import { signThis } from "./sign-this.ts";

/** What these routes need of whoever settles unknown outcomes: an opened home fits. */
export interface Settling {
  /** @throws CountersignError `REQUEST_NOT_FOUND`, `DECISION_REFUSED` where the outcome is not unknown */
  draftSettlement(
    request: RequestId,
    choice: {
      readonly person: PersonId;
      readonly outcome: "done" | "failed";
      readonly again?: boolean;
      readonly message: string;
    },
  ): Promise<SettlementStatement>;
  /** `again`: where the request stands that was made anew. */
  settle(
    statement: SettlementStatement,
    proof: Proof,
  ): Promise<Result<{ readonly outcome: "done" | "failed"; readonly again: Reply | null }, Refusal>>;
}

const message = z.string().trim().min(1).max(2_000);
const settlement = z
  .strictObject({
    typ: z.literal("countersign.settlement"),
    v: z.literal(1),
    log: z.string().max(128),
    request: requestId.max(128),
    grant: z.string().max(128),
    outcome: z.enum(["done", "failed"]),
    again: z.boolean(),
    message,
    approver: person.min(1).max(128),
    issued_at: time,
  })
  .meta({ id: "Settlement", description: "What a person signs who looked what became of a request." });

const ROUTE = "/requests/:ref/settlement";

export function settlementRoutes({ home, settling }: RouteParts): readonly Route[] {
  const { requests, store } = home;
  return [
    defineRoute({
      method: "GET",
      path: ROUTE,
      id: "draftSettlement",
      tag: "decisions",
      summary: "The statement of a person who looked, about an unknown outcome.",
      scope: "requests:read",
      query: z.strictObject({
        outcome: z.enum(["done", "failed"]).describe("It ran, or it did not."),
        again: z.enum(["true", "false"]).default("false").describe("It did not: ask for it anew."),
        message: message.describe("How that is known."),
        person: z.string().min(1).max(128).optional(),
      }),
      answers: {
        200: { description: "The draft.", schema: z.strictObject({ statement: settlement, sign: toSign }) },
      },
      problems: ["request_not_found", "wrong_person", "not_served"],
      async handle({ actor, query, param }) {
        if (settling === undefined) return { refused: problem("not_served") };
        const signer = signerOf(actor, query.person);
        if (!signer.ok) return { refused: signer.error };
        if (query.again === "true" && query.outcome === "done")
          return { refused: problem("bad_request", "again: only what did not run is asked for anew") };
        await store.catchUp();
        const summary = await requests.find(param("ref"));
        const statement = await settling.draftSettlement(summary.id, {
          person: signer.value,
          outcome: query.outcome,
          again: query.again === "true",
          message: query.message,
        });
        return {
          document: { statement, sign: signThis(SETTLEMENT_NAMESPACE, settlementBytes(statement)) },
        };
      },
    }),

    defineRoute({
      method: "POST",
      path: ROUTE,
      id: "settle",
      tag: "decisions",
      summary: "Hands in such a statement, signed.",
      scope: "statements:write",
      body: signedBody,
      replays: true,
      proof: true,
      answers: {
        200: {
          description: "Settled; it is durable.",
          schema: z.strictObject({
            outcome: z.enum(["done", "failed"]),
            again: reply.nullable().describe("Where the request stands that was made anew."),
          }),
        },
      },
      problems: [
        ...["request_not_found", "other_question", "invalid_statement", "invalid_signature"],
        ...["wrong_person", "not_served", "key_reused"],
      ],
      async handle({ actor, body, param }) {
        if (settling === undefined) return { refused: problem("not_served") };
        await store.catchUp();
        const summary = await requests.find(param("ref"));
        const parsed = read(body.statement);
        if (!parsed.ok) return { refused: parsed.error };
        const statement = parsed.value;
        if (statement.request !== summary.id) return { refused: problem("other_question") };
        const signed = {
          bytes: settlementBytes(statement),
          namespace: SETTLEMENT_NAMESPACE,
          approver: statement.approver,
        };
        const proof = proofOf(actor, signed, body.proof);
        if (!proof.ok) return { refused: proof.error };
        const settled = await settling.settle(statement, proof.value);
        return settled.ok ? { document: settled.value } : { refused: refusedBecause(settled.error) };
      },
    }),
  ];
}

function read(value: unknown): Result<SettlementStatement, Problem> {
  const parsed = settlement.safeParse(value);
  if (parsed.success) return ok(parsed.data as SettlementStatement);
  const issue = parsed.error.issues[0];
  return err(
    problem("invalid_statement", `/${issue?.path.map(String).join("/") ?? ""}: ${issue?.message ?? ""}`),
  );
}
