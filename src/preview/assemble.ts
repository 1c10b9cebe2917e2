import type { Effect, Target } from "../request/action-request.ts";
import type { ToolView, View } from "./view.ts";

export interface ViewParts {
  readonly tool: string;
  readonly effect: Effect;
  readonly targets: readonly Target[];
  /** RFC 8785 text of the arguments, after masking. */
  readonly maskedArguments: string;
  /** After masking. */
  readonly toolView: ToolView;
  readonly rules: View["rules"];
  readonly reasoning: View["reasoning"];
  readonly isolation: View["isolation"];
}

/** The document whose digest people sign. Pure: the same parts give the same bytes. */
export function assembleView(parts: ViewParts): View {
  return {
    typ: "countersign.view",
    v: 1,
    effectLine: effectLine(parts.toolView.verb, parts.targets),
    tool: parts.tool,
    effect: parts.effect,
    targets: parts.targets.map(({ kind, id, environment }) => ({ kind, id, environment })),
    arguments: parts.maskedArguments,
    preview: parts.toolView,
    rules: parts.rules.map(({ id, because }) => ({ id, because })),
    reasoning: { justification: parts.reasoning.justification, chain: parts.reasoning.chain },
    isolation: parts.isolation,
  };
}

const NAMED = 3;

/**
 * The first line of every card, built from the verb and the targets and from nothing that an agent or a backend wrote.
 * @example effectLine("DEPLOY", [{ kind: "service", id: "web", environment: "demo" }]) // "DEPLOY 1 service · demo · web"
 */
export function effectLine(verb: string, targets: readonly Target[]): string {
  const kinds = distinct(targets.map((target) => target.kind)).map((kind) => {
    const count = targets.filter((target) => target.kind === kind).length;
    return `${count} ${count === 1 ? kind : plural(kind)}`;
  });
  const environments = distinct(targets.map((target) => target.environment));
  const ids = distinct(targets.map((target) => target.id));
  return `${verb} ${[kinds.join(" and "), some(environments), some(ids)].join(" · ")}`;
}

const distinct = (texts: readonly string[]): readonly string[] => [...new Set(texts)].sort();

const some = (texts: readonly string[]): string =>
  texts.length > NAMED
    ? `${texts.slice(0, NAMED).join(", ")} and ${texts.length - NAMED} more`
    : texts.join(", ");

function plural(kind: string): string {
  if (/(?:s|x|z|ch|sh)$/.test(kind)) return `${kind}es`;
  return /[^aeiou]y$/.test(kind) ? `${kind.slice(0, -1)}ies` : `${kind}s`;
}
