import type { FC } from "hono/jsx";
import { isFault } from "../errors.ts";
import { toolFacts } from "../gate/regime.ts";
import type { Explanation } from "../policy/policy.ts";
import { readTestCall } from "../policy/suite.ts";
import type { ConsoleHome } from "./reader.ts";
import { Line } from "./text.tsx";

/** What was filled in, as it came. */
export type ExplainFields = Readonly<Record<(typeof FIELDS)[number], string>>;
const FIELDS = ["tool", "environment", "agent", "principal", "args", "counts"] as const;

export type Explained =
  | { readonly ok: true; readonly explanation: Explanation }
  | { readonly ok: false; readonly errors: readonly string[] };

export const explainFields = (query: (name: string) => string | undefined): ExplainFields =>
  Object.fromEntries(FIELDS.map((name) => [name, query(name) ?? ""])) as ExplainFields;

/** Asks the running policy about a call that nobody made. Nothing is recorded; null where nothing was filled in. */
export function explainCall(home: ConsoleHome, fields: ExplainFields): Explained | null {
  if (fields.tool === "") return null;
  try {
    const call = {
      tool: fields.tool,
      ...(fields.environment === "" ? {} : { environment: fields.environment }),
      ...(fields.agent === "" ? {} : { agent: fields.agent }),
      ...(fields.principal === "" ? {} : { principal: fields.principal }),
      ...(fields.args === "" ? {} : { args: JSON.parse(fields.args) as unknown }),
      ...(fields.counts === "" ? {} : { preview: { counts: JSON.parse(fields.counts) as unknown } }),
      isolation: home.settings.isolation,
    };
    const policy = home.adoption.current();
    const input = readTestCall(call, policy, toolFacts(home.tools));
    if (!input.ok) return { ok: false, errors: input.error };
    return { ok: true, explanation: policy.explain(input.value) };
  } catch (error) {
    if (error instanceof SyntaxError)
      return { ok: false, errors: [`arguments and counts are JSON: ${error.message}`] };
    if (isFault(error)) return { ok: false, errors: [error.message] };
    throw error;
  }
}

interface ExplainFormProps {
  readonly fields: ExplainFields;
  readonly explained: Explained | null;
  readonly tools: readonly string[];
  readonly environments: readonly string[];
  readonly agents: readonly string[];
}

/** A form that works without script: the answer is a page. */
export const ExplainForm: FC<ExplainFormProps> = ({ fields, explained, tools, environments, agents }) => (
  <section class="card" id="explain" aria-labelledby="explain-title">
    <h2 id="explain-title">Explain a call</h2>
    <p class="fine">
      What the running policy would say of a call, and why. Nothing is asked, run or recorded.
    </p>
    <form class="explain" method="get" action="/policy#explain">
      <label class="field">
        <span>Tool</span>
        <select name="tool" required>
          <option value="">choose…</option>
          {tools.map((tool) => (
            <option value={tool} selected={tool === fields.tool}>
              {tool}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>Environment</span>
        <input name="environment" value={fields.environment} list="environments" autocomplete="off" />
      </label>
      <label class="field">
        <span>Agent</span>
        <input name="agent" value={fields.agent} list="agents" autocomplete="off" />
      </label>
      <label class="field">
        <span>For (person or service)</span>
        <input name="principal" value={fields.principal} autocomplete="off" />
      </label>
      <label class="field field-wide">
        <span>Arguments, JSON</span>
        <textarea name="args" rows={2} placeholder={'{ "service": "web" }'} spellcheck={false}>
          {fields.args}
        </textarea>
      </label>
      <label class="field field-wide">
        <span>Counts of the preview, JSON</span>
        <input name="counts" value={fields.counts} placeholder={'{ "delete": 1 }'} autocomplete="off" />
      </label>
      <datalist id="environments">
        {environments.map((name) => (
          <option value={name} />
        ))}
      </datalist>
      <datalist id="agents">
        {agents.map((name) => (
          <option value={name} />
        ))}
      </datalist>
      <button class="button primary">Explain</button>
    </form>
    {explained === null ? null : <Answer explained={explained} />}
  </section>
);

const TONES = { allow: "good", hold: "wait", deny: "bad" } as const;

const Answer: FC<{ explained: Explained }> = ({ explained }) => {
  if (!explained.ok) {
    return (
      <div class="note note-bad" role="alert">
        <ul>
          {explained.errors.map((error) => (
            <li>
              <Line text={error} />
            </li>
          ))}
        </ul>
      </div>
    );
  }
  const { verdict, candidates } = explained.explanation;
  const by = verdict.rules.map(({ id }) => id);
  return (
    <div class="answer">
      <p>
        <span class={`chip tone-${TONES[verdict.verdict]}`}>{verdict.verdict}</span> by{" "}
        {by.length === 0 ? "the default: nothing else matched" : by.join(", ")}
      </p>
      {verdict.because.map((because) => (
        <p>
          because <Line text={because} />
        </p>
      ))}
      {(verdict.requirement?.clauses ?? []).map((clause) => (
        <p>
          needs {clause.count} of {clause.from.join(" or ")}, proof {clause.assurance} or better
        </p>
      ))}
      <table class="candidates">
        <thead>
          <tr>
            <th scope="col">Rule</th>
            <th scope="col">Says</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {candidates.map((candidate) => (
            <tr class={`candidate-${candidate.outcome}`}>
              <th scope="row">
                <a href={`#rule-${encodeURIComponent(candidate.id)}`}>{candidate.id}</a>
              </th>
              <td>
                {candidate.outcome === "matched" ? candidate.verdict : candidate.outcome.replace("_", " ")}
              </td>
              <td>
                <Line text={candidate.why} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
};
