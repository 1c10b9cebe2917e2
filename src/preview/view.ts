import * as z from "zod";
import { later } from "../base/later.ts";
import { FIDELITIES } from "./fidelity.ts";

// The view is what people are shown, in every channel, and what `question.view` is the digest of. It is static:
// quorum state, time left and the approver's name stand outside it. Text in it may come from a repository or a
// backend an attacker controls, so channels neutralise it when they print (P3); the digest covers the raw text.

const changeSchema = later(() =>
  z.strictObject({
    op: z.enum(["create", "update", "replace", "delete", "grant", "revoke", "execute"]),
    resource: z.string(),
    before: z.string().nullable(),
    after: z.string().nullable(),
  }),
);

const documentSchema = later(() =>
  z.strictObject({
    title: z.string(),
    kind: z.enum(["diff", "table", "text", "json"]),
    body: z.string(),
  }),
);

/** What a tool's preview hands over for people. */
export const toolViewSchema = later(() =>
  z.strictObject({
    /** The effect in one line: `deploy web at 4f2a91c to demo`. */
    summary: z.string().min(1).max(300),
    /** Verb of the effect line: `DEPLOY`. */
    verb: z.string().regex(/^[A-Z][A-Z ]{0,23}$/),
    changes: z.array(changeSchema).max(10_000),
    /** Whole numbers by name; policy sees them as `preview.counts.<name>`. */
    counts: z.record(z.string().regex(/^[a-z][a-z0-9_]*$/), z.number().int().nonnegative()),
    /** Plain facts for policy, as `preview.facts.<name>`: computed by the tool from the backend, never from the agent. */
    facts: z
      .record(z.string().regex(/^[a-z][a-z0-9_]*$/), z.union([z.string(), z.number(), z.boolean()]))
      .default({}),
    warnings: z.array(z.strictObject({ code: z.string().regex(/^[a-z][a-z0-9_]*$/), text: z.string() })),
    documents: z.array(documentSchema),
    /** False where the tool could not see everything; such a view offers no approval (C4). */
    complete: z.boolean(),
    /** How to undo it, or that it can't be. */
    reversible: z.string(),
    fidelity: z.enum(FIDELITIES),
  }),
);
export type ToolView = z.infer<typeof toolViewSchema>;

/** The document whose digest people sign: the tool's view inside the gate's own facts. */
export interface View {
  readonly typ: "countersign.view";
  readonly v: 1;
  /** `DEPLOY 1 service · demo · web`: built by the gate. */
  readonly effectLine: string;
  readonly tool: string;
  readonly effect: string;
  readonly targets: readonly { readonly kind: string; readonly id: string; readonly environment: string }[];
  /** Arguments after masking, RFC 8785 text. */
  readonly arguments: string;
  readonly preview: ToolView;
  readonly rules: readonly { readonly id: string; readonly because: string | null }[];
  /** The agent's own words, after masking; unverified, shown last and boxed. */
  readonly reasoning: { readonly justification: string | null; readonly chain: string | null };
  readonly isolation: "service" | "none";
}
