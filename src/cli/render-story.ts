import type { Json } from "../base/canonical-json.ts";
import { wrap, type Paint } from "../base/terminal.ts";
import { FLAG_WORDS } from "../base/text.ts";
import type { Kept } from "../gate/records.ts";
import type { Story } from "../gate/story.ts";
import type { Clause } from "../policy/verdict.ts";
import { requesterWords } from "../request/principal.ts";
import { createCard, type Card } from "./card.ts";
import { erasureWords } from "./erasure-words.ts";
import { formatMoment } from "./moment.ts";
import { paintPhase } from "./paint-phase.ts";
import { prettyJson, renderEvidence } from "./render-evidence.ts";

export interface StoryOptions {
  readonly width: number;
  readonly paint: Paint;
  readonly zone: string;
}

/** A request's story for a terminal: our words at the left edge, everything else neutral and below a label (P3). */
export function renderStory(story: Story, options: StoryOptions): string {
  const card = createCard(options.width, options.paint);
  const chapters: (readonly [title: string, tell: () => void])[] = [
    ["who asked", () => tellAsked(card, story, options)],
    ["what the agent claimed (unverified)", () => tellClaimed(card, story)],
    ["what the evidence said", () => tellEvidence(card, story, options)],
    ["what the policy said", () => tellVerdict(card, story, options)],
    ["who decided", () => tellDecisions(card, story, options)],
    ["what ran, and what came out", () => tellRun(card, story, options)],
  ];
  for (const [title, tell] of chapters) {
    card.blank();
    card.own(options.paint.bold(title.toUpperCase()));
    tell();
  }
  for (const erasure of story.erasures) {
    card.blank();
    card.field("documents", erasureWords(erasure));
  }
  return [...head(card, story, options), ...card.lines].join("\n");
}

/** Made last, shown first: what neutralising found has to be said before it is read. */
function head(
  card: Card,
  { request, phase, entries }: Story,
  { width, paint }: StoryOptions,
): readonly string[] {
  const lines = [`  ${paint.bold(request)}  ${paintPhase(phase, paint)}  ${paint.dim(`${entries} entries`)}`];
  if (card.flags.size === 0) return lines;
  const words = [
    "LOOK CLOSELY: text below was made visible or marked, because it holds",
    ...[...card.flags].sort().map((flag) => `- ${FLAG_WORDS[flag]}`),
  ];
  return [
    ...lines,
    ...words.flatMap((line) => wrap(line, width - 2)).map((line) => `  ${paint.yellow(line)}`),
  ];
}

const when = (at: string, { zone }: StoryOptions): string => formatMoment(Date.parse(at), zone);

function tellAsked(card: Card, { asked, attempt, evidence }: Story, options: StoryOptions): void {
  if (attempt !== null) {
    card.field("when", when(attempt.at, options));
    card.field(
      "attempt",
      card.line(`${attempt.tool} by ${attempt.agent || "no named agent"} for ${attempt.principal}`),
    );
    card.field("", `over ${attempt.transport}; it never became a request`);
  }
  if (asked === null) return;
  const { requester } = asked;
  const { principal, agent } = requesterWords(requester);
  const owners = requester.owners.length === 0 ? "" : ` (owned by ${requester.owners.join(", ")})`;
  const chain = requester.chain.length === 0 ? "" : `, on behalf of ${requester.chain.join(", ")}`;
  card.field("when", `${when(asked.at, options)}, over ${asked.transport}`);
  card.field("agent", card.line(`${agent}${owners}`));
  card.field(
    "for",
    card.line(
      `${requester.principal.kind === "unresolved" ? "" : `${requester.principal.kind} `}${principal}${chain}`,
    ),
  );
  if ("unresolved" in requester) {
    card.field("unknown", `the policy did not know the ${requester.unresolved.join(" and the ")} (C1)`);
  }
  if (asked.client !== null)
    card.field("client", card.line(`calls itself ${asked.client.name} ${asked.client.version}`));
  card.field("tool", card.line(`${asked.tool} (${asked.effect})`));
  for (const { kind, id, environment } of asked.targets)
    card.field("target", card.line(`${kind} ${id} · ${environment}`));
  // The view has them too, as they were shown.
  if (evidence?.view?.state === "kept") return;
  tellKept(card, "arguments", asked.arguments, (value) =>
    card.quoted(card.theirs(JSON.stringify(value, null, 2), CODE)),
  );
}

const CODE = { maxIndent: 40 } as const;

function tellClaimed(card: Card, { claimed }: Story): void {
  if (claimed === null) {
    card.field("reasoning", "none was given");
    return;
  }
  tellKept(card, "reasoning", claimed, ({ justification, chain }) => {
    if (justification !== null) card.quoted(card.theirs(justification));
    if (chain !== null) card.quoted(card.theirs(prettyJson(JSON.stringify(chain)), CODE));
  });
}

function tellEvidence(card: Card, { evidence }: Story, options: StoryOptions): void {
  if (evidence === null) {
    card.field("evidence", "none: no preview was made, or it failed");
    return;
  }
  const { view, fidelity, plan, files, digest } = evidence;
  card.field("summary", card.line(evidence.summary));
  card.field("guard", card.line(evidence.guard));
  if (evidence.expires_at !== null) card.field("plan until", when(evidence.expires_at, options));
  if (view === null || plan === null || digest === null) return;
  const of = {
    fidelity,
    plan: plan.digest,
    files: files.map((file) => file.digest),
    view: digest,
  };
  tellKept(card, "view", view, (shown) => {
    card.field("effect", card.line(shown.effectLine));
    card.field("reversible", card.line(shown.preview.reversible));
    for (const { code, text } of shown.preview.warnings)
      card.field("warning", card.line(`${text} (${code})`));
    renderEvidence(card, shown, of, options.paint);
  });
}

function tellVerdict(card: Card, { verdict, replayed }: Story, { paint }: StoryOptions): void {
  if (verdict === null) {
    card.field("verdict", "the policy was not asked");
    return;
  }
  card.field("verdict", verdict.verdict, paint.bold);
  if (verdict.policy !== null) card.digest("policy", verdict.policy);
  if (verdict.rules.length === 0) card.field("rules", "none matched, so the default decided");
  for (const { id, because, why, error } of verdict.rules) {
    card.field("rule", card.line(`${id}${because === null ? "" : `: ${because}`}`));
    if (error !== null)
      card.field(
        "",
        card.line(`it matched because ${error.message} (${error.code}, ${error.line}:${error.column})`),
      );
    if (why !== null) card.field("", card.line(`why: ${why}`));
  }
  for (const clause of verdict.requirement?.clauses ?? []) card.field("asks", card.line(clauseWords(clause)));
  for (const { outcome, notes } of replayed) {
    const words = {
      equal: "derived again from the record: the same, byte for byte",
      partial: "derived again in part",
      differs: "derived again: it differs",
    }[outcome];
    card.field("replay", words, outcome === "differs" ? paint.red : undefined);
    for (const note of notes) card.field("", card.line(note));
  }
}

const clauseWords = ({ count, from, assurance }: Clause): string =>
  `${count} of ${from.join(" or ")}, proof ${assurance} or better`;

function tellDecisions(
  card: Card,
  { question, decisions, consent, verdict }: Story,
  options: StoryOptions,
): void {
  if (question === null) {
    const alone = verdict === null ? "nobody was asked" : "the policy alone; no person was asked";
    card.field("decided by", alone);
    return;
  }
  card.field("asked", `${when(question.at, options)}, until ${when(question.deadline, options)}`);
  card.field("code", question.code, options.paint.bold);
  card.digest("question", question.digest);
  if (decisions.length === 0) card.field("answers", "none");
  for (const one of decisions) {
    const said = { approve: "approved", deny: "denied", take_back: "took back" }[one.decision];
    const counted = one.counted ? "counted" : `not counted: ${one.why_not ?? "unsaid"}`;
    const reason = one.reason === null ? "" : `: ${one.reason}`;
    card.field(
      said,
      card.line(`${one.person}${one.solo ? " (solo)" : ""} at ${when(one.at, options)}, ${counted}${reason}`),
    );
    card.field("", card.line(`proof ${one.assurance}: ${proofWords(one.proof)}`));
    if (one.log !== null) card.field("", `had checked the log of ${one.log.size} entries`);
  }
  if (consent !== null) {
    card.field(
      "settled",
      card.line(`${consent.outcome} by ${consent.by.join(", ")} at ${when(consent.at, options)}`),
    );
  }
}

/** What a proof says of itself, but for the signature's own bytes: those are in the receipt. */
const proofWords = (proof: Story["decisions"][number]["proof"]): string =>
  Object.entries(proof)
    .flatMap(([name, value]) =>
      typeof value !== "string" || value.length > LONGEST_PROOF_WORD
        ? []
        : [name === "kind" ? value : `${name} ${value}`],
    )
    .join(", ");
const LONGEST_PROOF_WORD = 120;

function tellRun(card: Card, story: Story, options: StoryOptions): void {
  const { grant, runs, leases, outcomes, result } = story;
  if (grant !== null) {
    const basis = grant.basis === "verdict" ? "the policy's verdict" : "people's consent";
    card.field(
      "granted",
      `${when(grant.at, options)} from ${basis}, until ${when(grant.execute_by, options)}`,
    );
  }
  for (const { kind, at, fence } of runs) card.field(kind, `${when(at, options)}, fence ${fence}`);
  if (runs.every(({ kind }) => kind !== "dispatched")) card.field("ran", "nothing was started");
  for (const { endsAt, isOpen } of leases) {
    card.field("lease", `until ${when(endsAt, options)}: ${isOpen ? "to be ended still" : "ended"}`);
  }
  for (const one of outcomes) {
    const code = one.code === null ? "" : ` (${one.code})`;
    const by = one.by === null ? "" : ` by ${one.by}`;
    card.field(one.outcome, card.line(`${when(one.at, options)}${by}${code}: ${one.message}`));
  }
  if (outcomes.length === 0) card.field("outcome", "it is open");
  if (result !== null) {
    tellKept(card, "result", result, (value: Json) =>
      card.quoted(card.theirs(JSON.stringify(value, null, 2), CODE)),
    );
  }
}

/** A document, or when and why it is not there any more. */
function tellKept<T>(card: Card, label: string, kept: Kept<T>, tell: (value: T) => void): void {
  switch (kept.state) {
    case "kept":
      card.field(label, "");
      tell(kept.value);
      return;
    case "erased":
      card.field(label, erasureWords(kept.erasure));
      return;
    case "lost":
      card.field(label, "gone, and no entry says that it was erased");
      return;
    case "changed":
      card.field(label, "not what was recorded: somebody changed it");
  }
}
