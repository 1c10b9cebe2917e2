import { neutralLine } from "../base/text.ts";
import type { OpenQuestion } from "../consent/desk.ts";
import type { Statement } from "../consent/statement.ts";
import { usage } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export interface Confirmation {
  readonly yes?: boolean | undefined;
  readonly code?: string | undefined;
}

/**
 * Whether the person means it. A deny and a take-back are not asked twice: failing safe is cheap (C3). Someone alone
 * answers on the terminal, and no flag answers for them (C6).
 * @throws CountersignError `USAGE` where nobody can be asked, or a code is wrong
 */
export async function confirmDecision(
  terminal: Terminal,
  open: OpenQuestion,
  draft: Statement,
  given: Confirmation,
): Promise<boolean> {
  if (draft.decision !== "approve") return true;
  const lookAgain = `look at it: countersign show ${open.request}`;
  if (draft.solo && !terminal.interactive) {
    throw usage("an approval by someone alone needs a terminal (C6)", "run it yourself, in a terminal");
  }
  if (draft.solo && given.yes === true) {
    throw usage("--yes never approves for someone alone (C6)", "leave it out and answer on the terminal");
  }
  if (given.yes === true) {
    if (given.code === undefined) {
      throw usage(
        "--yes needs --code, so that it approves this question and no other",
        `--yes --code ${open.code}`,
      );
    }
    if (given.code.toUpperCase() === open.code) return true;
    throw usage(`--code ${neutralLine(given.code)} is not the code of this question`, lookAgain);
  }
  if (!terminal.interactive) throw usage("an approval needs a terminal, or --yes with --code", lookAgain);
  if (!asksForCode(open, draft)) {
    const answer = await terminal.ask("approve exactly this? [y/N] ");
    return answer !== null && /^y(es)?$/i.test(answer);
  }
  const typed = await terminal.ask("type the code of what you approve (empty: no): ");
  if (typed === null || typed === "") return false;
  if (typed.toUpperCase() === open.code) return true;
  throw usage(`"${typed}" is not the code of what was shown`, lookAgain);
}

/** Typing the code costs a look at it; asked where the stakes are high. */
const asksForCode = (open: OpenQuestion, draft: Statement): boolean =>
  draft.solo ||
  open.view.effect === "destructive" ||
  open.view.effect === "privilege" ||
  open.requirement.clauses.some(({ assurance }) => assurance >= "A3");
