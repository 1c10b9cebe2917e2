import type { Paint } from "../base/terminal.ts";
import type { Question } from "../consent/question.ts";
import type { Fidelity } from "../preview/fidelity.ts";
import type { ToolView, View } from "../preview/view.ts";
import type { Card } from "./card.ts";

// The evidence of a question: changes, documents, arguments, digests. All of it, always (C4).

type Change = ToolView["changes"][number];
type ViewDocument = ToolView["documents"][number];

/** What each fidelity lets a person rely on. */
export const FIDELITY_WORDS: Readonly<Record<Fidelity, string>> = {
  exact: "exact: what is shown is the very thing that will run",
  pinned: "pinned: the backend refuses if the world has moved since",
  checked: "checked: read again just before; a small race remains",
  estimated: "estimated: the real numbers may differ",
  none: "none: nothing was previewed, these are the arguments only",
};

export function renderEvidence(
  card: Card,
  view: View,
  question: Pick<Question, "fidelity" | "files" | "plan" | "view">,
  paint: Paint,
): void {
  const { changes, documents } = view.preview;
  if (changes.length > 0) {
    card.blank();
    card.heading(changes.length === 1 ? "1 change" : `${changes.length} changes`);
    for (const change of changes) renderChange(card, change, paint);
  }
  for (const document of documents) {
    card.blank();
    card.heading(`${document.kind}: ${card.line(document.title)}`);
    renderDocument(card, document, paint);
  }
  card.blank();
  card.heading("arguments (masked where the policy says so)");
  card.quoted(card.theirs(prettyJson(view.arguments), DOCUMENT));
  const facts = Object.entries({ ...view.preview.counts, ...view.preview.facts });
  if (facts.length > 0) {
    card.blank();
    card.heading("facts that the policy sees");
    for (const [name, fact] of facts) {
      card.quoted(`${card.line(name)}: ${fact === "" ? "(empty)" : card.line(String(fact))}`);
    }
  }
  card.blank();
  card.field(
    "evidence",
    FIDELITY_WORDS[question.fidelity],
    question.fidelity === "none" ? paint.yellow : undefined,
  );
  card.digest("plan", question.plan);
  for (const file of question.files) card.digest("file", file);
  card.digest("view", question.view);
}

/** Code keeps its indentation; a run of blanks inside a line is still counted. */
const DOCUMENT = { maxIndent: 40 } as const;
const TABLE = { maxIndent: 40, maxSpaces: 40 } as const;

const OP_MARKS: Readonly<Record<Change["op"], readonly [mark: string, colour: "green" | "yellow" | "red"]>> =
  {
    create: ["+", "green"],
    update: ["~", "yellow"],
    replace: ["±", "red"],
    delete: ["-", "red"],
    grant: ["+", "yellow"],
    revoke: ["-", "yellow"],
    execute: ["!", "yellow"],
  };

function renderChange(card: Card, change: Change, paint: Paint): void {
  const [mark, colour] = OP_MARKS[change.op];
  card.field(`${mark} ${change.op}`, card.line(change.resource), paint[colour]);
  for (const side of ["before", "after"] as const) {
    const text = change[side];
    if (text === null) continue;
    if (!text.includes("\n") && text.length <= 200) card.field(`    ${side}`, card.line(text));
    else {
      card.field(`    ${side}`, "");
      card.quoted(card.theirs(text, DOCUMENT));
    }
  }
}

function renderDocument(card: Card, document: ViewDocument, paint: Paint): void {
  const text = card.theirs(document.body.replace(/\n$/, ""), document.kind === "table" ? TABLE : DOCUMENT);
  card.quoted(text, document.kind === "diff" ? (line) => paintDiff(line, paint) : undefined);
}

function paintDiff(line: string, paint: Paint): string {
  if (line.startsWith("+++") || line.startsWith("---") || line.startsWith("diff ")) return paint.bold(line);
  if (line.startsWith("@@")) return paint.cyan(line);
  if (line.startsWith("+")) return paint.green(line);
  if (line.startsWith("-")) return paint.red(line);
  return line;
}

/** Indented JSON of the same value; text that is no JSON as it is. */
export function prettyJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
