import { box, displayWidth, wrap, type Paint } from "../base/terminal.ts";
import { FLAG_WORDS, type TextFlag } from "../base/text.ts";
import type { OpenQuestion } from "../consent/desk.ts";
import type { PersonId } from "../request/principal.ts";
import { createCard, type Card } from "./card.ts";
import { formatDistance, formatMoment } from "./moment.ts";
import { renderEvidence, prettyJson } from "./render-evidence.ts";
import { standingOf, standingWords } from "../consent/standing.ts";

// The approval view in the terminal. The order is the same in every channel (design §5): effect line · risk,
// reversibility, counts · agent, for whom, which approval yours would be · evidence with digest and fidelity · the rule
// and why · deadline · code · last, boxed, the agent's own words.
//
//   C4. Nothing is shortened. A view that is not complete offers no approval; `offersApproval` says so.
//   P3. All text that is not ours is neutralised, and what was found there stands in a banner on top.

export interface RenderOptions {
  readonly width: number;
  readonly paint: Paint;
  /** Epoch milliseconds. */
  readonly now: number;
  /** IANA time zone of the reader. */
  readonly zone: string;
  /** Who reads, where that is known. */
  readonly reader: { readonly person: PersonId } | null;
}

export interface RenderedQuestion {
  readonly text: string;
  readonly flags: readonly TextFlag[];
}

/** C4: only what was shown whole may be approved. */
export const offersApproval = (open: OpenQuestion): boolean => open.view.preview.complete;

/** The whole question as neutral text for a terminal. */
export function renderQuestion(open: OpenQuestion, options: RenderOptions): RenderedQuestion {
  const { width, paint } = options;
  const card = createCard(width, paint);
  renderRisk(card, open, paint);
  card.blank();
  renderPeople(card, open, options);
  renderEvidence(card, open.view, open.question, paint);
  card.blank();
  renderRules(card, open);
  card.field(
    "deadline",
    `${formatMoment(open.deadline, options.zone)} (${formatDistance(open.deadline, options.now)})`,
    open.deadline - options.now < 60_000 ? paint.red : undefined,
  );
  card.field("code", open.code, paint.bold);
  card.blank();
  const boxed = renderReasoning(card, open, width);
  const head = renderHead(card, open, width, paint);
  return { text: [...head, ...card.lines, ...boxed].join("\n"), flags: [...card.flags].sort() };
}

/** Effect line with the code, then what the reader must know before anything else. Made last, shown first. */
function renderHead(card: Card, open: OpenQuestion, width: number, paint: Paint): readonly string[] {
  const effect = card.line(open.view.effectLine);
  const alarming = open.view.effect === "destructive" || open.view.effect === "privilege";
  const pieces = wrap(effect, width - 4);
  const title = (piece: string): string => (alarming ? paint.alarm(` ${piece} `) : paint.bold(` ${piece} `));
  const lines = pieces.map((piece) => ` ${title(piece)}`);
  const gap = width - 4 - displayWidth(effect) - open.code.length;
  if (pieces.length === 1 && gap >= 1)
    lines[0] = `${lines[0] ?? ""}${" ".repeat(gap)} ${paint.bold(open.code)}`;
  lines.push(`  ${paint.dim("─".repeat(width - 3))}`);
  const warn = (words: string, painted: (text: string) => string): void => {
    for (const line of wrap(words, width - 2)) lines.push(`  ${painted(line)}`);
  };
  if (!offersApproval(open)) {
    warn("INCOMPLETE: not everything could be seen. This can only be denied (C4).", paint.red);
  }
  if (card.flags.size > 0) {
    warn("LOOK CLOSELY: text below was made visible or marked, because it holds", paint.red);
    for (const flag of [...card.flags].sort()) warn(`- ${FLAG_WORDS[flag]}`, paint.yellow);
  }
  if (!offersApproval(open) || card.flags.size > 0) lines.push("");
  return lines;
}

function renderRisk(card: Card, open: OpenQuestion, paint: Paint): void {
  const { view } = open;
  const { preview } = view;
  card.field("what", card.line(preview.summary));
  card.field(
    "effect",
    `${view.effect} by ${card.line(view.tool)}`,
    view.effect === "write" ? undefined : paint.yellow,
  );
  // A count of nothing says nothing in five seconds; all of them stand under "facts".
  const counts = Object.entries(preview.counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${card.line(name).replaceAll("_", " ")} ${count}`);
  if (counts.length > 0) card.field("counts", counts.join(" · "));
  card.field("reversible", card.line(preview.reversible));
  for (const target of view.targets) {
    card.field(
      "target",
      `${card.line(target.kind)} ${card.line(target.id)} · ${card.line(target.environment)}`,
    );
  }
  for (const warning of preview.warnings) {
    card.field("warning", `${card.line(warning.text)} (${card.line(warning.code)})`, paint.yellow);
  }
}

function renderPeople(card: Card, open: OpenQuestion, options: RenderOptions): void {
  const { requester } = open.question;
  const { paint } = options;
  const chain =
    requester.chain.length > 0 ? `, on behalf of ${requester.chain.map(card.line).join(", ")}` : "";
  const owners =
    requester.owners.length > 0 ? ` (owned by ${requester.owners.map(card.line).join(", ")})` : "";
  card.field("asked by", `agent ${card.line(requester.agent)}${owners}`);
  card.field("for", `${requester.principal.kind} ${card.line(requester.principal.id)}${chain}`);
  for (const { clause, by, missing } of open.quorum.clauses) {
    const who = clause.from.map(card.line).join(" or ");
    const so = by.length === 0 ? "none yet" : by.map(card.line).join(", ");
    card.field(
      "needs",
      `${clause.count} of ${who}, proof ${clause.assurance} or better: ${so}${missing > 0 ? `, ${missing} missing` : ""}`,
    );
  }
  for (const decision of open.decisions) {
    const words = { approve: "approved", deny: "denied", take_back: "took back" }[decision.decision];
    const undone = decision.takenBack ? ", and took it back" : "";
    const count = decision.counted ? undone : `, not counted: ${decision.whyNot ?? "unknown"}`;
    const reason = decision.reason === null ? "" : `: ${card.line(decision.reason)}`;
    const when = formatMoment(Date.parse(decision.at), options.zone);
    card.field("so far", `${card.line(decision.person)} ${words} at ${when}${count}${reason}`);
  }
  renderWaiting(card, open, options);
  if (options.reader !== null) {
    const { person } = options.reader;
    const standing = standingOf(person, open);
    card.field(
      "you",
      card.line(standingWords(person, standing)),
      standing.kind === "approver" ? paint.bold : paint.red,
    );
  }
  if (open.requirement.solo !== null) {
    card.field(
      "solo",
      `${card.line(open.requirement.solo)} may decide alone here; log and receipt will say so (C6)`,
      paint.yellow,
    );
  }
  if (open.view.isolation === "none") {
    card.field("isolation", "none: the gateway runs as an OS user that the agent may share", paint.dim);
  }
}

/** Who is asked by the time, and what people have asked back. */
function renderWaiting(card: Card, open: OpenQuestion, { zone, now, paint }: RenderOptions): void {
  for (const { group, person, until } of open.onCall) {
    const who = person === null ? "nobody" : card.line(person);
    card.field("on call", `${card.line(group)}: ${who}, until ${formatMoment(until, zone)}`);
  }
  for (const { to, dueAt, at } of open.escalations) {
    const who = to.map(card.line).join(", ");
    if (at === null && dueAt >= open.deadline) continue;
    const when =
      at === null
        ? `may answer too from ${formatMoment(dueAt, zone)} (${formatDistance(dueAt, now)})`
        : `may answer too, since ${formatMoment(Date.parse(at), zone)}`;
    card.field("escalates", `${who} ${when}`);
  }
  const { reminders } = open;
  if (reminders !== null && reminders.last !== null) {
    const people = reminders.last.people.map(card.line).join(", ");
    card.field("reminded", `${people} at ${formatMoment(Date.parse(reminders.last.at), zone)}`);
  }
  for (const { person, text, answer } of open.inquiries) {
    const state = answer === null ? "; not answered yet" : "; the answer is below";
    card.field("asked back", `${card.line(person)}: ${card.line(text)}${state}`, paint.bold);
  }
}

function renderRules(card: Card, open: OpenQuestion): void {
  const { rules } = open.view;
  if (rules.length === 0) card.field("rule", "none matched: the policy's default asks people");
  for (const rule of rules) {
    const why = rule.because === null ? "" : `: ${card.line(rule.because)}`;
    card.field("rule", `${card.line(rule.id)}${why}`);
  }
  card.field(
    "runs",
    open.question.execute === "on_approval"
      ? "as soon as it is approved"
      : "once it is approved, while the caller is still there",
  );
}

const REASONING_TITLE = "agent's stated reasoning (unverified)";

/** The agent's claim, boxed and last: nothing after it can be mistaken for the gate's words. */
function renderReasoning(card: Card, open: OpenQuestion, width: number): readonly string[] {
  const { justification, chain } = open.view.reasoning;
  const parts: string[] = [];
  if (justification !== null) parts.push(card.theirs(justification));
  if (chain !== null) parts.push(card.theirs(prettyJson(chain), { maxIndent: 40 }));
  const body = parts.length === 0 ? "(none was given)" : parts.join("\n\n");
  const boxes = [box(REASONING_TITLE, body, width - 2)];
  for (const { person, answer } of open.inquiries) {
    if (answer === null) continue;
    boxes.push(
      box(`agent's answer to ${card.line(person)} (unverified)`, card.theirs(answer.text), width - 2),
    );
  }
  return boxes.flat().map((line) => `  ${line}`);
}
