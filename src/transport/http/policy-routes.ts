import * as z from "zod";
import { formatSourceError } from "../../base/yaml.ts";
import { CountersignError } from "../../errors.ts";
import { toolFacts } from "../../gate/regime.ts";
import { decodeEntry } from "../../log/encode.ts";
import type { Entry } from "../../log/entry.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../policy/adoption-statement.ts";
import { parseAdoption } from "../../policy/parse-adoption.ts";
import { readTestCall } from "../../policy/suite.ts";
import type { ApiHome } from "./api.ts";
import type { RouteParts } from "./api-routes.ts";
import { signedBody, signerOf } from "./decision-routes.ts";
import { assurance, countOf, digest, person, requirement, time, toSign } from "./documents.ts";
import { problem } from "./problem.ts";
import { proofOf } from "./proof-of.ts";
import { defineRoute, type Route } from "./route.ts";
import { signThis } from "./sign-this.ts";

const needs = z
  .strictObject({ by: z.array(z.string()), quorum: z.number().int(), assurance })
  .meta({ id: "PolicyChange", description: "Who decides about another revision." });

const revision = z
  .strictObject({
    seq: z.number().int(),
    at: time,
    revision: digest,
    registry: digest,
    from: z.strictObject({ policy: digest, registry: digest }).nullable(),
    mode: z.enum(["first", "on_save", "signed"]),
    by: z.array(person).describe("Who signed for it."),
  })
  .meta({ id: "Revision" });

const ruleMatch = z.strictObject({
  id: z.string(),
  verdict: z.enum(["allow", "deny", "hold"]),
  because: z.string().nullable(),
  error: z
    .strictObject({ code: z.string(), message: z.string(), line: z.number(), column: z.number() })
    .nullable(),
});

const explanation = z
  .strictObject({
    verdict: z.strictObject({
      verdict: z.enum(["allow", "deny", "hold"]),
      rules: z.array(ruleMatch),
      open: z.boolean(),
      requirement: requirement.nullable(),
      requirementDigest: digest.nullable(),
      because: z.array(z.string()),
      shadow: z.array(ruleMatch),
      masks: z.array(z.string()),
    }),
    candidates: z.array(
      z.strictObject({
        id: z.string(),
        verdict: z.enum(["allow", "deny", "hold"]),
        outcome: z.enum(["matched", "not_matched", "open", "error"]),
        why: z.string(),
        line: z.number().int(),
      }),
    ),
  })
  .meta({ id: "Explanation" });

const proposal = z
  .strictObject({
    running: digest.describe("The revision that runs."),
    revision: digest.nullable().describe("The file's; null where it does not load, and `errors` says why."),
    registry: digest,
    errors: z.array(z.string()),
    changed: z.boolean(),
    diff: z.array(z.strictObject({ text: z.string(), weaker: z.boolean() })),
    needs: needs.nullable().describe("Null: the file is adopted when it is saved."),
    endorsements: z.array(z.strictObject({ person, at: time, assurance, counts: z.boolean() })),
    missing: z.number().int().describe("People who still have to sign."),
  })
  .meta({ id: "Proposal" });

const adoption = z
  .strictObject({
    typ: z.literal("countersign.adoption"),
    v: z.literal(1),
    log: z.string(),
    from: z.strictObject({ policy: digest, registry: digest }),
    to: z.strictObject({ policy: digest, registry: digest }),
    approver: person,
    issued_at: time,
  })
  .meta({ id: "Adoption" });

export function policyRoutes({ home }: RouteParts): readonly Route[] {
  const { adoption: desk, store } = home;
  return [
    defineRoute({
      method: "GET",
      path: "/policy",
      id: "getPolicy",
      tag: "policy",
      summary: "The policy that runs: the last adopted revision, its text and what it resolves to.",
      scope: "policy:read",
      answers: {
        200: {
          description: "The policy.",
          schema: z.strictObject({
            adopted: revision,
            text: z.string().describe("policy.yaml as it was adopted, byte for byte."),
            document: z.looseObject({}).describe("Resolved: people, groups, agents, rules."),
            adopt: z.enum(["signed", "on_save"]),
            policyChange: needs.nullable(),
            solo: person.nullable(),
            warnings: z.array(z.string()).describe("What loads and is probably not meant."),
          }),
        },
      },
      problems: ["policy_not_adopted"],
      async handle() {
        await store.catchUp();
        const policy = desk.current();
        const adopted = await adoptionAt(home, desk.sequence().at(-1));
        return {
          document: {
            adopted: revisionOf(adopted),
            text: await textOf(home, adopted),
            document: policy.document,
            adopt: policy.adopt,
            policyChange: policy.policyChange,
            solo: policy.solo,
            warnings: policy.warnings.map(formatSourceError),
          },
        };
      },
    }),

    defineRoute({
      method: "GET",
      path: "/policy/history",
      id: "listRevisions",
      tag: "policy",
      summary: "Adopted revisions, newest first.",
      scope: "policy:read",
      query: z.strictObject({
        limit: countOf(100, 20),
        before: z.coerce.number().int().nonnegative().optional().describe("`next` of the page before."),
      }),
      answers: {
        200: {
          description: "One page.",
          schema: z.strictObject({
            revisions: z.array(revision),
            next: z.number().int().nullable(),
          }),
        },
      },
      problems: [],
      async handle({ query }) {
        await store.catchUp();
        const older = desk.sequence().filter((seq) => query.before === undefined || seq < query.before);
        const page = older.slice(-query.limit).toReversed();
        const revisions = [];
        for (const seq of page) revisions.push(revisionOf(await adoptionAt(home, seq)));
        return { document: { revisions, next: older.length > page.length ? (page.at(-1) ?? null) : null } };
      },
    }),

    defineRoute({
      method: "GET",
      path: "/policy/history/:seq",
      id: "getRevision",
      tag: "policy",
      summary: "One adopted revision with its text.",
      scope: "policy:read",
      answers: {
        200: {
          description: "The revision.",
          schema: z.strictObject({ adopted: revision, text: z.string() }),
        },
      },
      problems: ["not_found", "blob_missing"],
      async handle({ param }) {
        await store.catchUp();
        const seq = Number(param("seq"));
        if (!desk.sequence().includes(seq)) return { refused: problem("not_found") };
        const adopted = await adoptionAt(home, seq);
        return { document: { adopted: revisionOf(adopted), text: await textOf(home, adopted) } };
      },
    }),

    defineRoute({
      method: "POST",
      path: "/policy/explain",
      id: "explainCall",
      tag: "policy",
      summary: "What the running policy says of a call, and why. Nothing is asked, recorded or run.",
      description: "A call as `tests:` in policy.yaml write it: tool, environment, agent, args, preview, ….",
      scope: "policy:read",
      body: z.strictObject({ call: z.record(z.string(), z.unknown()) }),
      answers: {
        200: { description: "The verdict and every rule that could have matched.", schema: explanation },
      },
      problems: [],
      async handle({ body }) {
        await store.catchUp();
        const policy = desk.current();
        const input = readTestCall(body.call, policy, toolFacts(home.tools));
        if (!input.ok) return { refused: problem("bad_request", `/call${input.error[0] ?? ""}`) };
        return { document: policy.explain(input.value) };
      },
    }),

    defineRoute({
      method: "GET",
      path: "/policy/proposal",
      id: "getProposal",
      tag: "policy",
      summary: "The file as it stands now against what runs, and who has signed for it.",
      scope: "policy:read",
      answers: { 200: { description: "The proposal.", schema: proposal } },
      problems: [],
      async handle() {
        return { document: { running: desk.current().revision, ...(await desk.proposal()) } };
      },
    }),

    defineRoute({
      method: "GET",
      path: "/policy/draft",
      id: "draftAdoption",
      tag: "policy",
      summary: "The statement that a person would sign to adopt the proposal.",
      scope: "policy:read",
      query: z.strictObject({ person: z.string().min(1).max(128).optional() }),
      answers: {
        200: {
          description: "It binds the old and the new revision.",
          schema: z.strictObject({ statement: adoption, sign: toSign }),
        },
      },
      problems: ["policy_invalid", "wrong_person"],
      async handle({ actor, query }) {
        const signer = signerOf(actor, query.person);
        if (!signer.ok) return { refused: signer.error };
        const statement = await desk.draft(signer.value);
        return { document: { statement, sign: signThis(ADOPTION_NAMESPACE, adoptionBytes(statement)) } };
      },
    }),

    defineRoute({
      method: "POST",
      path: "/policy/endorsements",
      id: "endorse",
      tag: "policy",
      summary: "Hands in a signed adoption statement. The proposal runs as soon as enough have signed.",
      scope: "statements:write",
      body: signedBody,
      replays: true,
      proof: true,
      answers: {
        200: {
          description: "Taken; it is durable.",
          schema: z.discriminatedUnion("state", [
            z.strictObject({ state: z.literal("endorsed"), missing: z.number().int() }),
            z.strictObject({ state: z.literal("adopted"), revision: digest }),
          ]),
        },
      },
      problems: [
        ...["adoption_refused", "policy_invalid", "invalid_statement", "invalid_signature"],
        ...["signature_invalid", "wrong_person", "key_reused"],
      ],
      async handle({ actor, body }) {
        const parsed = parseAdoption(body.statement);
        if (!parsed.ok) return { refused: problem("invalid_statement", parsed.error) };
        const statement = parsed.value;
        const bytes = adoptionBytes(statement);
        const signed = { bytes, namespace: ADOPTION_NAMESPACE, approver: statement.approver };
        const proof = proofOf(actor, signed, body.proof);
        if (!proof.ok) return { refused: proof.error };
        return { document: await desk.endorse(statement, proof.value) };
      },
    }),
  ];
}

async function adoptionAt(home: ApiHome, seq: number | undefined): Promise<Entry<"policy.adopted">> {
  for await (const line of home.store.lines(seq ?? 0)) {
    const decoded = decodeEntry(Buffer.from(line.bytes).toString("utf8"), line.seq);
    if (decoded.ok && decoded.value.kind === "policy.adopted") return decoded.value;
    break;
  }
  throw new CountersignError("POLICY_NOT_ADOPTED", "no policy has been adopted in this home", {
    hint: "make the first approver and policy: countersign init",
  });
}

const revisionOf = ({ seq, time: at, data }: Entry<"policy.adopted">): z.input<typeof revision> => ({
  ...{ seq, at, revision: data.revision, registry: data.registry, from: data.from, mode: data.mode },
  by: data.statements.map(({ statement }) => statement.approver),
});

const textOf = async (home: ApiHome, { data }: Entry<"policy.adopted">): Promise<string> =>
  new TextDecoder().decode(await home.store.blobs.get("policy", data.text));
