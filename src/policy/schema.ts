import * as z from "zod";
import { later } from "../base/later.ts";
import { EFFECTS } from "../request/action-request.ts";
import { FIDELITIES } from "../preview/fidelity.ts";
import { ASSURANCES } from "./verdict.ts";

// The file as people write it. Every mapping is strict: an unknown key is an error with a suggestion, because in a
// policy a misspelt key is a rule that silently isn't there. schema/policy.schema.json is generated from this.

const ID = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,79}$/;
const ID_WORDS = "letters, digits and . _ @ -, at most 80 of them";
const DURATION = /^(\d{1,9}(ms|s|m|h|d))+$/;

const id = z.string().regex(ID, { error: ID_WORDS });
const ids = z.array(id).max(1_000);
const duration = z.string().regex(DURATION, { error: "expected a duration such as 30m or 1h30m" });
const words = z.string().min(1).max(500);

/** One name or glob, or a list of them: any of them matches. */
const names = z.union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).min(1).max(500)]);

const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;
const fingerprint = z.string().regex(FINGERPRINT, {
  error: "expected SHA256: and 43 characters, as `ssh-keygen -lf key.pub` prints them",
});

const ISSUER = /^(https:\/\/[^\s/?#@]+|http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?)(\/[^\s?#]*)?$/;

const issuer = z.string().regex(ISSUER, { error: "expected https://, or http:// on this machine" });
const subjectAccount = z.strictObject({ issuer, subject: words });

const approve = z.strictObject({
  by: z
    .union([id, ids.min(1)])
    .optional()
    .describe("Groups whose members may approve: their union."),
  quorum: z.number().int().min(1).max(20).optional().describe("How many distinct people. Default 1."),
  assurance: z.enum(ASSURANCES).optional().describe("What the proof of a decision must show. Default A2."),
  within: duration.optional().describe("Time to answer; no answer is a deny. Default 30m."),
  execute_within: duration.optional().describe("Time in which an approved request must start. Default 10m."),
  execute: z
    .enum(["on_approval", "when_attached"])
    .optional()
    .describe("Run as soon as it is approved (default), or only while the caller is there."),
  escalate: z
    .array(z.strictObject({ after: duration, to: z.union([id, ids.min(1)]) }))
    .optional()
    .describe("Groups that may answer too once the request has waited so long: their members, besides by."),
  remind: duration
    .optional()
    .describe("How often those who are asked and have not answered are told again. Default: never."),
});

const person = z.strictObject({
  name: words.describe("As it is shown to other people."),
  slack: z
    .string()
    .regex(/^[A-Z0-9]+\/[A-Z0-9]+$/, { error: "expected TEAM/USER, such as T01/U0ANA" })
    .optional(),
  oidc: subjectAccount
    .optional()
    .describe(
      "Who this person is at the identity provider: its issuer and its subject, never an e-mail address.",
    ),
  ssh: z
    .array(z.union([fingerprint, z.strictObject({ fingerprint, user_verified: z.boolean() })]))
    .optional()
    .describe(
      "SSH keys. user_verified: an sk- key that asks for PIN or touch with verification, enrolled by an admin.",
    ),
  os: z
    .array(z.string().regex(/^[^@\s]+@[^@\s]+$/, { error: "expected uid@host, such as 501@laptop" }))
    .optional()
    .describe("OS accounts under which this person's agents call over stdio."),
  disabled: z.boolean().optional().describe("True: neither asks nor decides."),
});

const onCall = later(() =>
  z.strictObject({
    on_call: z.strictObject({
      people: ids.min(1).describe("In the order of their turns."),
      every: duration.describe("Length of a turn: 1d, 7d."),
      starts: z
        .string()
        .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z$/, {
          error: "expected a UTC time such as 2026-01-05T09:00:00Z",
        })
        .describe("When the first turn begins."),
    }),
  }),
);

const match = z.strictObject({
  tool: names.optional(),
  environment: names
    .optional()
    .describe("Of the target, from the operator's registry; never from an argument."),
  agent: names.optional(),
  principal: names.optional().describe("A person or service for whom the agent acts."),
  effect: z.union([z.enum(EFFECTS), z.array(z.enum(EFFECTS)).min(1)]).optional(),
  target_kind: names.optional(),
  target: names.optional().describe("Id of the target."),
});

const rule = z.strictObject({
  id,
  match: match.default({}).describe("Every key given must match; a missing key matches all."),
  when: z
    .string()
    .min(1)
    .max(10_000)
    .optional()
    .describe("A CEL condition; see docs/policy.md for its variables."),
  verdict: z.enum(["allow", "deny", "hold"]),
  approve: approve.optional().describe("For hold. What is left out comes from defaults.approve."),
  because: words.optional().describe("Shown to approvers, and to the agent when it is held or denied."),
  mask: z
    .union([id, ids.min(1)])
    .optional()
    .describe("Names under masks whose fields are hidden."),
  mode: z.literal("shadow").optional().describe("shadow: decides and logs, changes nothing."),
  tags: z.array(words).optional(),
});

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const testTarget = later(() =>
  z.strictObject({
    kind: z.string().default("resource"),
    id: z.string().default("unnamed"),
    environment: z.string().default(""),
  }),
);

/** A call as `tests:` and `countersign policy explain` write it. */
export const testCall = later(() =>
  z.strictObject({
    tool: z.string().min(1),
    effect: z.enum(EFFECTS).optional().describe("Default: the tool's own, else write."),
    environment: z.string().optional().describe("Short for one target in that environment."),
    targets: z.array(testTarget).optional(),
    agent: id.nullable().optional().describe("null: one that the policy does not know."),
    principal: id.nullable().optional().describe("null: one that the policy does not know."),
    args: z.record(z.string(), z.json()).default({}),
    preview: z
      .strictObject({
        counts: z.record(z.string(), z.number().int().nonnegative()).default({}),
        facts: z.record(z.string(), scalar).default({}),
        warnings: z.array(z.string()).default([]),
        fidelity: z.enum(FIDELITIES).default("exact"),
        complete: z.boolean().default(true),
      })
      .optional(),
    claims: z
      .strictObject({
        justification: z.string().optional(),
        reasoning: z.boolean().default(false),
        client: z.string().optional(),
      })
      .optional(),
    isolation: z.enum(["service", "none"]).default("service"),
  }),
);

const policyTest = later(() =>
  z.strictObject({
    it: words.describe("What the policy must do, as a sentence: it needs two people for a prod delete."),
    call: testCall.describe("The call, and the preview it would get."),
    expect: z.strictObject({
      verdict: z.enum(["allow", "deny", "hold"]),
      rule: id.optional().describe("The one rule that decides."),
      rules: ids.optional().describe("All rules that decide; [] where the default does."),
      quorum: z.number().int().optional().describe("People asked: the largest count of any clause."),
      assurance: z.enum(ASSURANCES).optional().describe("The strongest assurance of any clause."),
      escalate: ids.optional().describe("Groups that may answer later, of all clauses; [] for none."),
      error: z.string().optional().describe("Code of the error that made a rule match."),
      shadow: ids.optional().describe("Shadow rules that match."),
      masks: ids.optional(),
    }),
  }),
);

/** policy.yaml. */
export const policySchema = z.strictObject({
  version: z.literal(1),
  adopt: z
    .enum(["signed", "on_save"])
    .default("signed")
    .describe(
      "signed: a changed file runs only after people adopted it. on_save: a valid file runs at once.",
    ),
  people: z.record(id, person).default({}),
  groups: z
    .record(id, z.union([ids, onCall]))
    .default({})
    .describe("Lists of people or of other groups; or on_call: one of its people, who changes with time."),
  agents: z
    .record(
      id,
      z.strictObject({
        owners: ids.min(1),
        description: words.optional(),
        oidc: z
          .union([subjectAccount, z.strictObject({ issuer, client_id: words })])
          .optional()
          .describe(
            "The account with which this agent acts for others: the client that access tokens are issued to, or the subject that their act claim names.",
          ),
      }),
    )
    .default({})
    .describe("Agents and the people who own them. An owner never decides on its requests."),
  services: z
    .record(
      id,
      z.strictObject({
        description: words.optional(),
        oidc: subjectAccount
          .optional()
          .describe("Who this service is at the identity provider: issuer and subject of its access tokens."),
      }),
    )
    .default({})
    .describe("Service accounts that may be principals."),
  solo: id
    .optional()
    .describe("A person alone with an agent: may decide on their own requests where one is asked."),
  defaults: z.strictObject({ approve: approve.optional() }).default({}),
  policy_change: z
    .strictObject({
      by: z.union([id, ids.min(1)]),
      quorum: z.number().int().min(1).max(20).default(1),
      assurance: z.enum(ASSURANCES).default("A3"),
    })
    .optional()
    .describe("What people have to do to adopt another revision of this file."),
  masks: z
    .record(id, z.strictObject({ keys: z.array(words).min(1) }))
    .default({})
    .describe("Named sets of field names that a rule may hide."),
  rules: z.array(rule).default([]),
  tests: z.array(policyTest).default([]),
});

export type RawPolicy = z.infer<typeof policySchema>;
export type RawRule = RawPolicy["rules"][number];
export type RawApprove = z.infer<typeof approve>;
/** One test of `tests:`, as it stands in the file. */
export type PolicyTest = RawPolicy["tests"][number];

/** Keys that people try because other products, or a later release, have them. */
export const NOT_IN_THIS_RELEASE: Readonly<Record<string, string>> = {
  risk: "risk scores are not in this release",
  include: "includes are not in this release; keep the policy in one file",
  define: "named constants are not in this release; write the value out",
  prove: "proofs are not in this release",
  standing: "standing grants are not in this release",
};
