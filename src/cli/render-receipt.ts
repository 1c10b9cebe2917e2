import { neutralLine } from "../base/text.ts";
import type { DecisionSummary, ReceiptSummary } from "../log/verify-summary.ts";
import { requesterText } from "./render-history.ts";

/** What a receipt proves, as neutral lines: who asked, what was planned, who decided with what proof, what came out. */
export function renderReceipt(summary: ReceiptSummary): readonly string[] {
  const { requester, asked, planned, outcome } = summary;
  const plan = planned?.plan ?? null;
  const targets = summary.targets.map((target) => `${target.kind} ${target.id} (${target.environment})`);
  const rows: (readonly [string, string])[] = [
    ["request", summary.request],
    ["asked by", requester === null ? "unknown" : requesterText(requester)],
    [
      "to do",
      `${planned?.summary ?? summary.tool ?? "unknown"}${targets.length > 0 ? ` · ${targets.join(", ")}` : ""}`,
    ],
    ...(plan === null ? [] : [["plan", plan] as const]),
    ...(asked === null ? [["decided by", "the policy alone"] as const] : [["code", asked.code] as const]),
    ...summary.decisions.map((decision) => ["decision", decisionWords(decision)] as const),
    ["outcome", `${outcome.phase} at ${outcome.at}${outcome.message === null ? "" : `: ${outcome.message}`}`],
    [
      "log",
      `${summary.log.id}, ${summary.log.size} entries signed, isolation ${summary.isolation ?? "unsaid"}`,
    ],
    ...summary.limits.map((limit) => ["limit", limit] as const),
  ];
  return rows.map(([label, value]) => `  ${label.padEnd(11)} ${neutralLine(value)}`);
}

function decisionWords(decision: DecisionSummary): string {
  const who = decision.name === null ? decision.person : `${decision.person} (${decision.name})`;
  const counted = decision.counted ? "counted" : `not counted: ${decision.whyNot ?? "unsaid"}`;
  const verb = { approve: "approved", deny: "denied", take_back: "took back" }[decision.decision];
  const solo = decision.solo ? ", solo" : "";
  const reason = decision.reason === null ? "" : `: "${decision.reason}"`;
  return `${who} ${verb} at ${decision.at}, ${decision.assurance}, ${counted}${solo}${reason}`;
}
