import { canonicalBytes, type JsonObject } from "../base/canonical-json.ts";
import { timestamp, type Clock } from "../base/clock.ts";
import { digestJson, type Digest } from "../base/digest.ts";
import { createHash } from "node:crypto";
import type { Result } from "../base/result.ts";
import type { Attest } from "../consent/attest.ts";
import type { Proof } from "../consent/entries.ts";
import { CountersignError } from "../errors.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { AdoptedState } from "../policy/adopted.ts";
import type { PolicyEntries } from "../policy/entries.ts";
import type { Policy, PolicyChange, ToolFacts } from "../policy/policy.ts";
import type { Batch, Store } from "../store/store.ts";
import type { Tool } from "../tool.ts";
import {
  attestAdoption,
  isSameBound,
  missingOf,
  signatureOf,
  standingSignatures,
  type Bound,
  type Signature,
  type SignersParts,
} from "./adoption-signers.ts";
import type { Adoption, Proposal } from "./home.ts";
import { registryDiff } from "./registry-diff.ts";
import { textSha256, toolFacts, type Regime, type RegimeHolder } from "./regime.ts";

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
  makeTools(registrations: JsonObject): readonly Tool[] | Promise<readonly Tool[]>;
  diff(from: JsonObject, to: JsonObject): Proposal["diff"];
  readonly attest: Attest;
  /** What an append that rests on this proof expects. */
  expectsOf(proof: Proof): Batch["expect"];
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

export function createAdoption(parts: AdoptionParts): AdoptionDesk {
  /** Content that was looked at last: an unchanged file costs one hash a look. */
  let lastContent = "";
  let reportedAt = Number.NEGATIVE_INFINITY;

  const candidateOf = async (files: ProposedFiles): Promise<Result<Candidate, readonly string[]>> => {
    if (!files.policy.ok) return files.policy;
    if (!files.registrations.ok) return files.registrations;
    const text = files.policy.value;
    const registrations = files.registrations.value;
    const policy = parts.loadPolicy(text, toolFacts(await parts.makeTools(registrations)));
    if (!policy.ok) return policy;
    const registry = digestJson("registry", registrations);
    return { ok: true, value: { text, policy: policy.value, registrations, registry } };
  };

  const candidate = async (): Promise<Candidate> => {
    const loaded = await candidateOf(await parts.readFiles());
    if (loaded.ok) return loaded.value;
    throw new CountersignError("POLICY_INVALID", loaded.error[0] ?? "the policy does not load", {
      hint: "see every error: countersign policy check",
      details: { errors: loaded.error },
    });
  };

  const boundOfRegime = ({ policy, registry }: Regime): Bound => ({ policy: policy.revision, registry });
  const running = (): Bound => boundOfRegime(parts.regime.current());
  const boundOf = ({ policy, registry }: Candidate): Bound => ({ policy: policy.revision, registry });

  const expectsOfAll = (statements: PolicyEntries["policy.adopted"]["statements"]): Batch["expect"] =>
    statements.flatMap(({ proof }) => parts.expectsOf(proof));

  /** Null where the policy, or who signed for the next one, or their passkey, moved at the same moment. */
  const tryWrite = async (
    { text, policy, registrations, registry }: Candidate,
    from: Bound | null,
    mode: PolicyEntries["policy.adopted"]["mode"],
    statements: PolicyEntries["policy.adopted"]["statements"],
    expected: number | null,
  ): Promise<Digest | null> => {
    const expect = [{ subject: "policy", newest: expected }, ...expectsOfAll(statements)];
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
      expect,
      newKeys: [],
      entries: [entry],
    });
    if (!appended.ok) return null;
    await parts.regime.refresh();
    return policy.revision;
  };

  const write = async (...what: Parameters<typeof tryWrite>): Promise<Digest> => {
    const revision = await tryWrite(...what);
    if (revision !== null) return revision;
    throw new CountersignError("ADOPTION_REFUSED", "another revision was adopted at the same moment", {
      hint: "look at what runs now, then adopt again: countersign policy adopt",
    });
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

  const signersParts = (regime: Regime, to: Candidate): SignersParts => ({
    attest: parts.attest,
    log: parts.store.logId,
    policy: regime.policy,
    need: needOf(regime.policy),
    from: boundOfRegime(regime),
    to: boundOf(to),
    since: regime.adoptedAt,
    now: parts.clock.now(),
  });

  /** The given signatures, and the recorded ones of everybody else. */
  const joined = (given: readonly Signature[], recorded: readonly Signature[]): readonly Signature[] => {
    const people = new Set(given.map((one) => one.person));
    return [...given, ...recorded.filter((one) => !people.has(one.person))];
  };

  const statementsOf = (signatures: readonly Signature[]): PolicyEntries["policy.adopted"]["statements"] =>
    signatures.map(({ statement, proof }) => ({ statement, proof }));

  return {
    current: () => parts.regime.current().policy,

    sequence: () => parts.state.adoptions,

    async proposal() {
      await parts.catchUp();
      const { policy } = parts.regime.current();
      const loaded = await candidateOf(await parts.readFiles());
      if (!loaded.ok) {
        return {
          revision: null,
          registry: running().registry,
          errors: loaded.error,
          changed: true,
          diff: [],
          needs: null,
          endorsements: [],
          missing: 0,
        };
      }
      const to = loaded.value;
      const regime = parts.regime.current();
      const isChanged = !isSameBound(running(), boundOf(to));
      const signers = policy.adopt === "on_save" || !isChanged ? null : signersParts(regime, to);
      const signatures = signers === null ? [] : standingSignatures(signers, parts.state.endorsements);
      const registryChanged = to.registry !== running().registry;
      return {
        revision: to.policy.revision,
        registry: to.registry,
        errors: [],
        changed: isChanged,
        diff: [
          ...parts.diff(policy.document, to.policy.document),
          ...(registryChanged ? registryDiff(parts.regime.current().registrations, to.registrations) : []),
        ],
        needs: policy.adopt === "on_save" ? null : needOf(policy),
        endorsements: signatures.map(({ person, at, assurance, counts }) => ({
          ...{ person, at, assurance, counts },
        })),
        missing: signers === null ? 0 : missingOf(signers.need, signatures),
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
      if (isSameBound(from, boundOf(to))) return from.policy;
      const expected = parts.regime.expects(regime);
      // Nobody has to sign for on_save: the entry must not say that somebody did. What was given is verified all the same.
      if (policy.adopt === "on_save") {
        for (const { statement, proof } of statements) attestAdoption(parts.attest, policy, statement, proof);
        return write(to, from, "on_save", [], expected);
      }
      const signers = signersParts(regime, to);
      const at = timestamp(parts.clock.now());
      const given = statements.map((one) => signatureOf(signers, { ...one, at }));
      const signatures = joined(given, standingSignatures(signers, parts.state.endorsements));
      const missing = missingOf(signers.need, signatures);
      if (missing > 0) {
        const { by, quorum, assurance } = signers.need;
        throw new CountersignError(
          "ADOPTION_REFUSED",
          `${quorum - missing} of ${quorum} people of [${by.join(", ")}] signed with ${assurance} or better`,
          {
            hint: "let the others sign too: countersign policy adopt --save FILE, or record yours: --endorse",
          },
        );
      }
      return write(to, from, "signed", statementsOf(signatures), expected);
    },

    async endorse(statement, proof) {
      for (;;) {
        await parts.catchUp();
        const to = await candidate();
        const regime = parts.regime.current();
        const { policy } = regime;
        const from = boundOfRegime(regime);
        if (isSameBound(from, boundOf(to))) return { state: "adopted", revision: from.policy };
        if (policy.adopt === "on_save") {
          throw new CountersignError(
            "ADOPTION_REFUSED",
            "the running policy adopts the file when it is saved",
            {
              hint: "nobody has to sign; look at what runs: countersign policy check",
            },
          );
        }
        const expected = parts.regime.expects(regime);
        const signers = signersParts(regime, to);
        const own = signatureOf(signers, { statement, proof, at: timestamp(parts.clock.now()) });
        if (!own.counts) {
          const { by, assurance } = signers.need;
          throw new CountersignError(
            "ADOPTION_REFUSED",
            `"${own.person}" with ${own.assurance} does not count: it takes [${by.join(", ")}] with ${assurance}`,
            { hint: "somebody whom policy_change names signs, with that proof" },
          );
        }
        const recorded = standingSignatures(signers, parts.state.endorsements);
        const signatures = joined([own], recorded);
        const missing = missingOf(signers.need, signatures);
        if (missing === 0) {
          const revision = await tryWrite(to, from, "signed", statementsOf(signatures), expected);
          if (revision === null) continue;
          return { state: "adopted", revision };
        }
        const before = recorded.find((one) => one.person === own.person);
        // Signing the same again changes nothing, and must not fill the log.
        if (before?.counts === true) return { state: "endorsed", missing };
        const appended = await parts.store.append({
          expect: [{ subject: "policy", newest: expected }, ...parts.expectsOf(proof)],
          newKeys: [],
          entries: [
            {
              kind: "policy.endorsed",
              subject: "policy",
              policy: policy.revision,
              data: { statement, proof: own.proof },
            },
          ],
        });
        if (appended.ok) return { state: "endorsed", missing };
      }
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
      // The very text that runs, over the same registrations, was loaded already.
      if (isAdopted(files, regime)) {
        lastContent = content;
        return "unchanged";
      }
      const loaded = await candidateOf(files);
      if (loaded.ok && isSameBound(running(), boundOf(loaded.value))) {
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

const isAdopted = ({ policy, registrations }: ProposedFiles, regime: Regime): boolean =>
  policy.ok &&
  registrations.ok &&
  textSha256(policy.value) === regime.textSha256 &&
  digestJson("registry", registrations.value) === regime.registry;

const contentHash = (files: ProposedFiles): string =>
  createHash("sha256")
    .update(JSON.stringify([files.policy, files.registrations]))
    .digest("hex");
