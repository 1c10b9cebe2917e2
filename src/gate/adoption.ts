import { canonicalBytes, type JsonObject } from "../base/canonical-json.ts";
import { timestamp, type Clock } from "../base/clock.ts";
import { digestJson, type Digest } from "../base/digest.ts";
import { createHash } from "node:crypto";
import type { Result } from "../base/result.ts";
import type { Attest, Attestation } from "../consent/attest.ts";
import type { Proof } from "../consent/entries.ts";
import { membersOf } from "../consent/people.ts";
import { CountersignError } from "../errors.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { AdoptedState } from "../policy/adopted.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../policy/adoption-statement.ts";
import type { AdoptionStatement, PolicyEntries } from "../policy/entries.ts";
import type { Policy, PolicyChange, ToolFacts } from "../policy/policy.ts";
import { meets } from "../policy/verdict.ts";
import type { Store } from "../store/store.ts";
import type { Tool } from "../tool.ts";
import type { Adoption, Proposal } from "./home.ts";
import { toolFacts, type Regime, type RegimeHolder } from "./regime.ts";

// P6. The policy that runs is the last *adopted* revision, its text a blob of the log; the file is a proposal. What
// the old revision names under `policy_change` decides about the new one: distinct enabled people, with that proof,
// over a statement that binds the old and the new revision, registrations included.

/** The files as they stand on disk. */
export interface ProposedFiles {
  /** Text of policy.yaml; an error where it cannot be read. */
  readonly policy: Result<string, readonly string[]>;
  /** Resolved registrations, plain JSON; errors as lines with places. */
  readonly registrations: Result<JsonObject, readonly string[]>;
}

export interface AdoptionParts {
  readonly clock: Clock;
  readonly state: AdoptedState;
  readonly store: Pick<Store, "append" | "blobs" | "logId">;
  readonly regime: RegimeHolder;
  readFiles(): Promise<ProposedFiles>;
  loadPolicy(text: string, tools: readonly ToolFacts[]): Result<Policy, readonly string[]>;
  makeTools(registrations: JsonObject): readonly Tool[];
  diff(from: JsonObject, to: JsonObject): Proposal["diff"];
  readonly attest: Attest;
  catchUp(): Promise<void>;
}

export interface AdoptionDesk extends Adoption {
  /** First adoption, on an empty log only. */
  adoptFirst(): Promise<Digest>;
  /** Adopts a changed file where the running revision says `on_save`; else reports it, once per content. */
  checkFiles(): Promise<"adopted" | "reported" | "unchanged">;
}

const REPORT_EVERY_MS = 15_000;

/** What of a proposal loads. */
interface Candidate {
  readonly text: string;
  readonly policy: Policy;
  readonly registrations: JsonObject;
  readonly registry: Digest;
}

type Bound = AdoptionStatement["from"];

export function createAdoption(parts: AdoptionParts): AdoptionDesk {
  /** Content that was looked at last: an unchanged file costs one hash a look. */
  let lastContent = "";
  let reportedAt = Number.NEGATIVE_INFINITY;

  const candidateOf = (files: ProposedFiles): Result<Candidate, readonly string[]> => {
    if (!files.policy.ok) return files.policy;
    if (!files.registrations.ok) return files.registrations;
    const text = files.policy.value;
    const registrations = files.registrations.value;
    const policy = parts.loadPolicy(text, toolFacts(parts.makeTools(registrations)));
    if (!policy.ok) return policy;
    const registry = digestJson("registry", registrations);
    return { ok: true, value: { text, policy: policy.value, registrations, registry } };
  };

  const candidate = async (): Promise<Candidate> => {
    const loaded = candidateOf(await parts.readFiles());
    if (loaded.ok) return loaded.value;
    throw new CountersignError("POLICY_INVALID", loaded.error[0] ?? "the policy does not load", {
      hint: "see every error: countersign policy check",
      details: { errors: loaded.error },
    });
  };

  const boundOfRegime = ({ policy, registry }: Regime): Bound => ({ policy: policy.revision, registry });
  const running = (): Bound => boundOfRegime(parts.regime.current());
  const boundOf = ({ policy, registry }: Candidate): Bound => ({ policy: policy.revision, registry });
  const isSame = (a: Bound, b: Bound): boolean => a.policy === b.policy && a.registry === b.registry;

  const write = async (
    { text, policy, registrations, registry }: Candidate,
    from: Bound | null,
    mode: PolicyEntries["policy.adopted"]["mode"],
    statements: PolicyEntries["policy.adopted"]["statements"],
    expected: number | null,
  ): Promise<Digest> => {
    const [textRef, registryRef] = await parts.store.blobs.put([
      { tag: "policy", bytes: new TextEncoder().encode(text), type: "application/yaml" },
      { tag: "registry", bytes: canonicalBytes(registrations), type: "application/json" },
    ]);
    if (textRef === undefined || registryRef === undefined)
      throw new Error("the blob store gave no reference");
    const entry: EntryDraft<"policy.adopted"> = {
      kind: "policy.adopted",
      subject: "policy",
      policy: policy.revision,
      data: {
        revision: policy.revision,
        registry,
        from,
        mode,
        text: textRef,
        registrations: registryRef,
        statements,
      },
    };
    const appended = await parts.store.append({
      expect: [{ subject: "policy", newest: expected }],
      newKeys: [],
      entries: [entry],
    });
    if (!appended.ok) {
      throw new CountersignError("ADOPTION_REFUSED", "another revision was adopted at the same moment", {
        hint: "look at what runs now, then adopt again: countersign policy adopt",
      });
    }
    await parts.regime.refresh();
    return policy.revision;
  };

  const report = async (
    content: string,
    revision: Digest | null,
    errors: readonly string[],
  ): Promise<void> => {
    await parts.store.append({
      expect: [{ subject: "policy", newest: parts.state.newestSeq }],
      newKeys: [],
      entries: [
        {
          kind: "policy.proposed",
          subject: "policy",
          policy: parts.regime.current().policy.revision,
          data: { content, revision, errors: errors.slice(0, 20).map((error) => error.slice(0, 500)) },
        },
      ],
    });
  };

  const attest = (policy: Policy, statement: AdoptionStatement, proof: Proof): Attestation => {
    const signed = {
      bytes: adoptionBytes(statement),
      namespace: ADOPTION_NAMESPACE,
      approver: statement.approver,
    };
    const attested = parts.attest(policy, signed, proof);
    if (attested.ok && attested.value.person === statement.approver) return attested.value;
    throw new CountersignError(
      "SIGNATURE_INVALID",
      `the adoption statement of "${statement.approver}" does not verify`,
      { hint: "sign it with a key that the running policy lists for that person" },
    );
  };

  /** The people whose statements count, each once. */
  const signers = (
    policy: Policy,
    need: PolicyChange,
    bound: { readonly from: Bound; readonly to: Bound },
    statements: PolicyEntries["policy.adopted"]["statements"],
  ): ReadonlySet<string> => {
    const eligible = membersOf(policy, need.by);
    const people = new Set<string>();
    for (const { statement, proof } of statements) {
      const { person, assurance } = attest(policy, statement, proof);
      const fits =
        statement.log === parts.store.logId &&
        isSame(statement.from, bound.from) &&
        isSame(statement.to, bound.to);
      if (!fits) {
        throw new CountersignError(
          "ADOPTION_REFUSED",
          `the statement of "${statement.approver}" is about other revisions`,
          {
            hint: "the file or the running policy changed since it was signed; sign again: countersign policy adopt",
          },
        );
      }
      if (eligible.has(person) && meets(assurance, need.assurance)) people.add(person);
    }
    return people;
  };

  return {
    current: () => parts.regime.current().policy,

    sequence: () => parts.state.adoptions,

    async proposal() {
      await parts.catchUp();
      const { policy } = parts.regime.current();
      const loaded = candidateOf(await parts.readFiles());
      if (!loaded.ok) {
        return {
          revision: null,
          registry: running().registry,
          errors: loaded.error,
          changed: true,
          diff: [],
          needs: null,
        };
      }
      const to = loaded.value;
      const registryChanged = to.registry !== running().registry;
      return {
        revision: to.policy.revision,
        registry: to.registry,
        errors: [],
        changed: !isSame(running(), boundOf(to)),
        diff: [
          ...parts.diff(policy.document, to.policy.document),
          ...(registryChanged ? registryDiff(parts.regime.current().registrations, to.registrations) : []),
        ],
        needs: policy.adopt === "on_save" ? null : needOf(policy),
      };
    },

    async draft(person) {
      await parts.catchUp();
      return {
        typ: "countersign.adoption",
        v: 1,
        log: parts.store.logId,
        from: running(),
        to: boundOf(await candidate()),
        approver: person,
        issued_at: timestamp(parts.clock.now()),
      };
    },

    async adopt(statements) {
      await parts.catchUp();
      const to = await candidate();
      const regime = parts.regime.current();
      const { policy } = regime;
      const from = boundOfRegime(regime);
      if (isSame(from, boundOf(to))) return from.policy;
      const expected = parts.regime.expects(regime);
      // Nobody has to sign for on_save, so nothing is verified, and the entry must not say that somebody did.
      if (policy.adopt === "on_save") return write(to, from, "on_save", [], expected);
      const proved = statements.map(({ statement, proof }) => ({
        statement,
        proof: attest(policy, statement, proof).proof,
      }));
      const need = needOf(policy);
      const people = signers(policy, need, { from, to: boundOf(to) }, proved);
      if (people.size < need.quorum) {
        throw new CountersignError(
          "ADOPTION_REFUSED",
          `${people.size} of ${need.quorum} people of [${need.by.join(", ")}] signed with ${need.assurance} or better`,
          { hint: "let the others sign too: countersign policy adopt --save FILE" },
        );
      }
      return write(to, from, "signed", proved, expected);
    },

    async adoptFirst() {
      if (parts.state.current !== null) {
        throw new CountersignError("LOG_EXISTS", "this home has an adopted policy already", {
          hint: "change it with: countersign policy adopt",
        });
      }
      return write(await candidate(), null, "first", [], null);
    },

    async checkFiles() {
      const files = await parts.readFiles();
      const content = contentHash(files);
      if (content === lastContent) return "unchanged";
      const regime = parts.regime.current();
      const loaded = candidateOf(files);
      if (loaded.ok && isSame(running(), boundOf(loaded.value))) {
        lastContent = content;
        return "unchanged";
      }
      if (loaded.ok && regime.policy.adopt === "on_save") {
        await write(loaded.value, boundOfRegime(regime), "on_save", [], parts.regime.expects(regime));
        lastContent = content;
        return "adopted";
      }
      if (parts.state.proposed === content) {
        lastContent = content;
        return "unchanged";
      }
      // Whoever may write the file must not be able to fill the log: one proposal in a while, the newest.
      const now = parts.clock.monotonic();
      if (now < reportedAt + REPORT_EVERY_MS) return "unchanged";
      reportedAt = now;
      lastContent = content;
      await report(content, loaded.ok ? loaded.value.policy.revision : null, loaded.ok ? [] : loaded.error);
      return "reported";
    },
  };
}

function needOf(policy: Policy): PolicyChange {
  if (policy.policyChange !== null) return policy.policyChange;
  throw new CountersignError("ADOPTION_REFUSED", "the running policy names nobody under policy_change", {
    hint: "it was adopted without one; start a new home with: countersign init",
  });
}

const contentHash = (files: ProposedFiles): string =>
  createHash("sha256")
    .update(JSON.stringify([files.policy, files.registrations]))
    .digest("hex");

/** Which registrations came, went or changed. Any change may point an old name at another place: weaker. */
function registryDiff(from: JsonObject, to: JsonObject): Proposal["diff"] {
  const lines: { text: string; weaker: boolean }[] = [];
  for (const kind of new Set([...Object.keys(from), ...Object.keys(to)])) {
    const before = (from[kind] ?? {}) as JsonObject;
    const after = (to[kind] ?? {}) as JsonObject;
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const a = before[name];
      const b = after[name];
      if (a === undefined) lines.push({ text: `${kind} ${name}: registered`, weaker: true });
      else if (b === undefined) lines.push({ text: `${kind} ${name}: removed`, weaker: false });
      else {
        const fields = changedFields(a as JsonObject, b as JsonObject);
        if (fields.length > 0)
          lines.push({ text: `${kind} ${name}: ${fields.join(", ")} changed`, weaker: true });
      }
    }
  }
  return lines;
}

const changedFields = (a: JsonObject, b: JsonObject): readonly string[] =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].filter(
    (field) => JSON.stringify(a[field]) !== JSON.stringify(b[field]),
  );
