import { neutralise, type NeutraliseOptions, type TextFlag } from "../base/text.ts";
import type { Question } from "../consent/question.ts";
import type { Requirement } from "../policy/verdict.ts";
import type { View } from "../preview/view.ts";

// What a page shows of a view, text by text. The server renders these cells; the page's own script makes them again from
// the view whose digest is signed, and compares: so a page that shows less, or something else, can't be signed (C4).
//
//   S1. Every text and number of the view is a cell, but for what the page says in its own words: `typ`, `v`,
//       `preview.verb` (it stands in the effect line), `preview.complete` and `isolation`.
//   S2. A cell's text is neutralised once, here (P3).

export interface Cell {
  /** Where it stands in the view, as a JSON pointer. */
  readonly at: string;
  readonly text: string;
  readonly flags: readonly TextFlag[];
}

const LINE: NeutraliseOptions = { lines: false };
const TEXT: NeutraliseOptions = {};
/** Code keeps its indentation; a run of blanks inside a line is still counted. */
const CODE: NeutraliseOptions = { maxIndent: 40 };
const TABLE: NeutraliseOptions = { maxIndent: 40, maxSpaces: 40 };

/** Every cell of a view, in the view's own order. */
export function cellsOf(view: View): readonly Cell[] {
  const cells: Cell[] = [];
  const add = (at: string, value: string | number | boolean | null, options: NeutraliseOptions): void => {
    if (value !== null) cells.push({ at, ...neutralise(String(value), options) });
  };
  add("/effectLine", view.effectLine, LINE);
  add("/tool", view.tool, LINE);
  add("/effect", view.effect, LINE);
  view.targets.forEach((target, i) => {
    add(`/targets/${i}/kind`, target.kind, LINE);
    add(`/targets/${i}/id`, target.id, LINE);
    add(`/targets/${i}/environment`, target.environment, LINE);
  });
  add("/arguments", prettyJson(view.arguments), CODE);
  const { preview } = view;
  add("/preview/summary", preview.summary, LINE);
  preview.changes.forEach((change, i) => {
    add(`/preview/changes/${i}/op`, change.op, LINE);
    add(`/preview/changes/${i}/resource`, change.resource, LINE);
    add(`/preview/changes/${i}/before`, change.before, CODE);
    add(`/preview/changes/${i}/after`, change.after, CODE);
  });
  for (const [name, count] of Object.entries(preview.counts)) add(`/preview/counts/${name}`, count, LINE);
  for (const [name, fact] of Object.entries(preview.facts)) add(`/preview/facts/${name}`, fact, LINE);
  preview.warnings.forEach((warning, i) => {
    add(`/preview/warnings/${i}/code`, warning.code, LINE);
    add(`/preview/warnings/${i}/text`, warning.text, TEXT);
  });
  preview.documents.forEach((document, i) => {
    add(`/preview/documents/${i}/title`, document.title, LINE);
    add(`/preview/documents/${i}/kind`, document.kind, LINE);
    add(`/preview/documents/${i}/body`, document.body, document.kind === "table" ? TABLE : CODE);
  });
  add("/preview/reversible", preview.reversible, TEXT);
  add("/preview/fidelity", preview.fidelity, LINE);
  view.rules.forEach((rule, i) => {
    add(`/rules/${i}/id`, rule.id, LINE);
    add(`/rules/${i}/because`, rule.because, TEXT);
  });
  add("/reasoning/justification", view.reasoning.justification, TEXT);
  add("/reasoning/chain", view.reasoning.chain === null ? null : prettyJson(view.reasoning.chain), CODE);
  return cells;
}

/** Indented JSON of the same value; text that is no JSON as it is. */
export function prettyJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** What the page's script is given to check against what it shows, as JSON beside the page. */
export interface Evidence {
  readonly view: View;
  /** Of the view's digest, base64. */
  readonly salt: string;
  readonly question: Question;
  readonly requirement: Requirement;
  readonly code: string;
  /** Who signs. */
  readonly person: string;
}
