import type { Target } from "../request/action-request.ts";
import { codeOf, type Question } from "./question.ts";

// The one line of a statement that a person can read. It is derived from the question and never taken from the agent
// or from a channel; verification derives it again, so a signature can't carry a sentence that the question denies.
// It names and does not describe: what was shown in full is under the digest of the view.

/** Targets named before the rest becomes a count. */
const NAMED_TARGETS = 3;
const LONGEST_NAME = 64;

/**
 * The summary of a statement about `question`: one line of printable ASCII, under 1,000 characters.
 * @example
 * `deploy_service on service web (demo), asked by claude-desktop for ana, plan sha256:ab12cd34ef56..., code ABC234`
 */
export const statementSummary = (question: Question): string => summaryUnder(question, codeOf(question));

/** The same where the caller has the code already: a page hashes in its own way. */
export function summaryUnder(question: Question, code: string): string {
  const named = question.targets.slice(0, NAMED_TARGETS).map(targetText);
  const more = question.targets.length - named.length;
  if (more > 0) named.push(`${more} more`);
  const { principal, agent } = question.requester;
  return [
    `${plain(question.tool)} on ${named.length === 0 ? "no target" : named.join(" and ")}`,
    `asked by ${plain(agent)} for ${plain(principal.id)}`,
    `plan ${question.plan.slice(0, "sha256:".length + 12)}...`,
    `code ${code}`,
  ].join(", ");
}

const targetText = ({ kind, id, environment }: Target): string =>
  `${plain(kind)} ${plain(id)} (${plain(environment)})`;

/**
 * Ids come from arguments and backends. One with anything but these characters is quoted and escaped, so that it can
 * neither hide characters nor pass for another part of the sentence (P3).
 */
function plain(text: string): string {
  const safe = /^[A-Za-z0-9._:@/+=-]+$/.test(text)
    ? text
    : JSON.stringify(text).replace(
        /[^\x20-\x7e]/g,
        (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
      );
  return safe.length <= LONGEST_NAME ? safe : `${safe.slice(0, LONGEST_NAME)}...`;
}
