import { meets, type Assurance } from "../policy/verdict.ts";
import { standingOf, type Standing } from "../consent/standing.ts";
import type { Dossier } from "./dossier.ts";
import type { Viewer } from "./reader.ts";

/** Where the person who looks stands: as an approver beforehand; the desk decides. Null once nobody is asked. */
export function standingIn(dossier: Dossier, viewer: Viewer): Standing | null {
  const { pending } = dossier;
  if (pending === null) return null;
  const decisions = dossier.decisions.map(({ person, statement, counted }) => ({
    person,
    decision: statement.decision,
    counted,
  }));
  return standingOf(viewer.person, { ...pending, decisions });
}

/** The weakest proof with which this person's approval counts for something that is still missing. */
export function neededProof(dossier: Dossier, standing: Standing): Assurance {
  if (standing.kind !== "approver") return "A2";
  const open = dossier.pending?.quorum.clauses.filter(
    ({ clause, missing }) =>
      missing > 0 && standing.clauses.some(({ from }) => from.join("\n") === clause.from.join("\n")),
  );
  const demanded = (open ?? []).map(({ clause }) => clause.assurance).sort();
  return standing.solo ? "A3" : (demanded[0] ?? "A2");
}

export type SignWith =
  | { readonly kind: "passkey" }
  | { readonly kind: "session" }
  /** Nothing that this person has here would count; `why` and the next step. */
  | { readonly kind: "none"; readonly needs: Assurance };

/** How this person would approve here. A session's word counts as A2 for five minutes after signing in. */
export function signWith(viewer: Viewer, needs: Assurance): SignWith {
  if (viewer.passkey !== null && meets(viewer.passkey, needs)) return { kind: "passkey" };
  return meets("A2", needs) ? { kind: "session" } : { kind: "none", needs };
}
