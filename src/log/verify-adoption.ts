import { parseTimestamp } from "../base/clock.ts";
import type { Proof } from "../consent/entries.ts";
import { meets } from "../policy/verdict.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../policy/adoption-statement.ts";
import type { AdoptionStatement, PolicyEntries } from "../policy/entries.ts";
import type { PolicyPeople } from "./policy-document.ts";
import type { Problem } from "./verify-decision.ts";
import { checkProof, CLOCK_SLACK_MS, type KnownCredential, type Report } from "./verify-proof.ts";

// Replays the adoptions: each goes on from the policy that ran, and rests on what people signed for exactly that (P6).
// Whose keys those were stands in the policy's document; without it the signatures themselves are checked, and that as
// many different people signed as can be told.

type Adopted = PolicyEntries["policy.adopted"];
type Bound = AdoptionStatement["from"];

export interface AdoptionCheck {
  /**
   * Notes an adoption, and says what is wrong with it. `people` are those of the policy that ran before, where its
   * document is at hand; `at` is the entry's time in epoch milliseconds.
   * @throws TypeError and the like where the data does not have the shape of its kind.
   */
  adopted(adopted: Adopted, at: number, people: PolicyPeople | null): readonly Problem[];
  /** The revision that runs; null before the first adoption. */
  running(): string | null;
}

export function createAdoptionCheck(credentialOf: (id: string) => KnownCredential | null): AdoptionCheck {
  let runs: (Bound & { readonly at: number }) | null = null;

  const signers = (
    { statements }: Adopted,
    [from, to]: readonly [Bound & { readonly at: number }, Bound],
    at: number,
    people: PolicyPeople | null,
    problem: Report,
  ): ReadonlySet<string> => {
    const signed = new Set<string>();
    for (const { statement, proof } of statements as readonly {
      statement: AdoptionStatement;
      proof: Proof;
    }[]) {
      const person = statement.approver;
      const isAbout =
        statement.typ === "countersign.adoption" &&
        statement.v === 1 &&
        isSame(statement.from, from) &&
        isSame(statement.to, to);
      if (!isAbout) problem("statement_mismatch", `${person} signed for other revisions`, "P6");
      // Revisions come back: what was signed before this one came to run was about another change.
      const issuedAt = parseTimestamp(statement.issued_at);
      if (!(issuedAt >= from.at - CLOCK_SLACK_MS))
        problem("statement_mismatch", `${person} signed before the policy that ran was adopted`, "P6");
      const { shows } = checkProof(
        {
          bytes: adoptionBytes(statement),
          namespace: ADOPTION_NAMESPACE,
          ...{ proof, person, at, people, credentialOf },
        },
        problem,
      );
      // A session's word was fresh when it was recorded, which may be a while ago.
      const shown = proof.kind === "session" ? "A2" : shows;
      const need = people?.policyChange ?? null;
      const counts =
        people === null ||
        (need !== null && people.isMember(person, need.by) && shown !== null && meets(shown, need.assurance));
      if (shows !== null && counts) signed.add(person);
    }
    return signed;
  };

  return {
    running: () => runs?.policy ?? null,
    adopted(adopted, at, people) {
      const problems: Problem[] = [];
      const problem: Report = (code, message, rule) =>
        void problems.push(rule === undefined ? { code, message } : { code, message, rule });
      const unproved = (message: string): void => problem("adoption_unproved", message, "P6");
      const { from, mode, revision, registry } = adopted;
      const to = { policy: revision, registry };
      if (runs === null || from === null || mode === "first") {
        if (runs !== null) unproved("it is no first adoption, and says that nothing ran before it");
        else if (from !== null || mode !== "first") unproved("the first adoption goes on from another");
      } else {
        if (!isSame(from, runs)) unproved(`it goes on from ${from.policy}, and ${runs.policy} ran`);
        const signed = signers(adopted, [runs, to], at, people, problem);
        const quorum = people === null ? 1 : (people.policyChange?.quorum ?? Number.POSITIVE_INFINITY);
        if (mode === "on_save") {
          if (people?.adoptsOnSave === false) unproved("the policy that ran did not adopt on save");
        } else if (signed.size < quorum) unproved(`${signed.size} people signed for it; ${quorum} have to`);
      }
      runs = { ...to, at };
      return problems;
    },
  };
}

const isSame = (a: Bound, b: Bound): boolean => a.policy === b.policy && a.registry === b.registry;
