import type { Accounts } from "./accounts.ts";
import type { Json, JsonObject } from "../base/canonical-json.ts";
import type { Digest } from "../base/digest.ts";
import type { SourceError } from "../base/yaml.ts";
import type { Fidelity } from "../preview/fidelity.ts";
import type { Effect, Target } from "../request/action-request.ts";
import type { AgentId, PersonId } from "../request/principal.ts";
import type { Rotation } from "./on-call.ts";
import type { PolicyTest } from "./schema.ts";
import type { Assurance, Requirement, RuleMatch, VerdictKind } from "./verdict.ts";

/** An SSH key of a person. `userVerified`: enrolled by an admin as an `sk-` key that verifies its user (A3). */
export interface SshKeyEntry {
  /** `SHA256:` and 43 characters of unpadded base64, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly userVerified: boolean;
}

export interface Person {
  readonly id: PersonId;
  readonly name: string;
  readonly disabled: boolean;
  /** `uid@host` accounts under which this person's agents call over stdio. */
  readonly os: readonly string[];
  readonly ssh: readonly SshKeyEntry[];
  /** Who this person is at an identity provider; null: nobody there. */
  readonly oidc: { readonly issuer: string; readonly subject: string } | null;
}

/** What people have to do to adopt another revision. */
export interface PolicyChange {
  readonly by: readonly string[];
  readonly quorum: number;
  readonly assurance: Assurance;
}

/** A loaded, resolved, compiled policy. Pure: request and evidence in, verdict out. */
export interface Policy {
  readonly revision: Digest;
  /** The resolved document whose RFC 8785 bytes the revision is the digest of. */
  readonly document: JsonObject;
  readonly people: ReadonlyMap<PersonId, Person>;
  /** Flattened to people; a disabled person is in none. */
  readonly groups: ReadonlyMap<string, readonly PersonId[]>;
  /** Groups of which one is on call at a time; `groups` holds all of their people. */
  readonly onCall: ReadonlyMap<string, Rotation>;
  readonly agents: ReadonlyMap<AgentId, { readonly owners: readonly PersonId[] }>;
  /** Service accounts that may be principals. */
  readonly services: ReadonlySet<string>;
  /** Who accounts at identity providers are. */
  readonly accounts: Accounts;
  readonly solo: PersonId | null;
  readonly adopt: "signed" | "on_save";
  readonly policyChange: PolicyChange | null;
  /** Field names by name of the mask. */
  readonly masks: ReadonlyMap<string, readonly string[]>;
  /** What loads and is probably not meant. */
  readonly warnings: readonly SourceError[];
  /** `tests:` of the file. They stand outside the document: they change nothing about what the policy does. */
  readonly tests: readonly { readonly test: PolicyTest; readonly line: number }[];
  evaluate(input: PolicyInput): Verdict;
  /** Every rule that names the tool, why it matched or did not. May quote arguments: for operators only. */
  explain(input: PolicyInput): Explanation;
}

/** What the policy sees of a preview. */
export interface PolicyPreview {
  readonly counts: Readonly<Record<string, number>>;
  readonly facts: Readonly<Record<string, string | number | boolean>>;
  readonly warnings: readonly string[];
  readonly fidelity: Fidelity;
  readonly complete: boolean;
}

export interface PolicyInput {
  readonly tool: string;
  readonly effect: Effect;
  readonly targets: readonly Target[];
  /** Null where the policy does not know the agent (C1): it satisfies no allow rule that names one, and every other. */
  readonly agent: AgentId | null;
  /** Null as for the agent. */
  readonly principal: { readonly kind: "person" | "service"; readonly id: string } | null;
  /** Parsed arguments, without our justification, unmasked. */
  readonly args: JsonObject;
  /** Null in the first pass: rules that mention `preview` are then open. */
  readonly preview: PolicyPreview | null;
  /** Claims: usable in deny and hold rules only (P2). */
  readonly claims: {
    readonly justification: string | null;
    readonly reasoning: boolean;
    readonly client: string | null;
  };
  readonly gate: { readonly isolation: "service" | "none" };
  /** Digest of the registration, for the requirement. */
  readonly registration: Digest | null;
}

export interface Verdict {
  readonly verdict: VerdictKind;
  /** Rules that matched with the strictest verdict, in file order; empty where the default decided. */
  readonly rules: readonly RuleMatch[];
  /** First pass only: a late rule could still change this verdict. */
  readonly open: boolean;
  /** Set for `hold`. */
  readonly requirement: Requirement | null;
  readonly requirementDigest: Digest | null;
  readonly because: readonly string[];
  /** What shadow rules would have said; changes nothing. */
  readonly shadow: readonly RuleMatch[];
  /** Names of masks of all matching rules, sorted. In a hold the requirement has them too. */
  readonly masks: readonly string[];
}

export interface Explanation {
  readonly verdict: Verdict;
  readonly candidates: readonly {
    readonly id: string;
    readonly verdict: VerdictKind;
    readonly outcome: "matched" | "not_matched" | "open" | "error";
    /** `match.environment: "demo" is not "prod"`, or the condition with its value. */
    readonly why: string;
    readonly line: number;
  }[];
}

/** What a loader knows of a tool: `when` is type-checked against its input schema. */
export interface ToolFacts {
  readonly name: string;
  readonly inputSchema: Readonly<Record<string, Json>>;
  readonly fixedEffect: Effect | null;
}
