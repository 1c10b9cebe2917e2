import type { Child, FC } from "hono/jsx";
import type { Question } from "../consent/question.ts";
import type { Fidelity } from "../preview/fidelity.ts";
import type { View } from "../preview/view.ts";
import { counted, DigestText, type Sheet } from "./text.tsx";

/** More lines than this are folded; all of them are on the page. */
const FOLD_LINES = 60;
const FOLD_CHANGES = 40;
/** Arguments and facts stand behind what changes: they are folded sooner. */
const FEW_LINES = 12;

/** What would change, whole: changes, documents, arguments, facts (C4). */
export const Evidence: FC<{ view: View; sheet: Sheet }> = ({ view, sheet }) => {
  const { changes, documents, facts } = view.preview;
  return (
    <section class="evidence" aria-label="What would change">
      {changes.length === 0 ? null : <Changes view={view} sheet={sheet} />}
      {documents.map((_, i) => (
        <Document view={view} sheet={sheet} index={i} />
      ))}
      {changes.length === 0 && documents.length === 0 ? (
        <p class="none">The tool showed no change and no document: the arguments below are all there is.</p>
      ) : null}
      <Fold
        id="arguments"
        name="arguments"
        title={
          <>
            Arguments of <code>{sheet.cell("/tool")}</code>{" "}
            <span class="fine">masked where the policy says so</span>
          </>
        }
        lines={sheet.lineCount("/arguments")}
        isOpen={
          sheet.lineCount("/arguments") <= FEW_LINES || (changes.length === 0 && documents.length === 0)
        }
      >
        <pre class="code-block" tabindex={0}>
          {sheet.lines("/arguments", () => undefined)}
        </pre>
      </Fold>
      {Object.keys(facts).length === 0 ? null : (
        <Fold
          id="facts"
          name="facts"
          title="Facts that the policy sees"
          lines={Object.keys(facts).length}
          isOpen={Object.keys(facts).length <= FEW_LINES}
        >
          <dl class="plain-facts">
            {Object.keys(facts).map((name) => (
              <>
                <dt>{name.replaceAll("_", " ")}</dt>
                <dd>{sheet.cell(`/preview/facts/${name}`)}</dd>
              </>
            ))}
          </dl>
        </Fold>
      )}
    </section>
  );
};

interface FoldProps {
  readonly id: string;
  /** What it is called where it is named elsewhere. */
  readonly name: string;
  readonly title: Child;
  readonly lines: number;
  readonly isOpen: boolean;
  readonly tally?: string;
  readonly children?: Child;
}

/** A native fold that says how much it holds; what was never opened is named before anyone signs. */
const Fold: FC<FoldProps> = ({ id, name, title, lines, isOpen, tally, children }) => (
  <details class="fold" id={`fold-${id}`} open={isOpen} data-evidence={name}>
    <summary>
      <span class="fold-title">{title}</span>
      <span class="fold-size">
        {tally === undefined ? null : <span class="tally">{tally}</span>}
        {counted(lines, "line")}
      </span>
    </summary>
    {children}
  </details>
);

const Document: FC<{ view: View; sheet: Sheet; index: number }> = ({ view, sheet, index }) => {
  const document = view.preview.documents[index];
  const at = `/preview/documents/${index}`;
  const isDiff = document?.kind === "diff";
  const lines = sheet.lineCount(`${at}/body`);
  const classOf = isDiff ? diffClass : (): undefined => undefined;
  return (
    <Fold
      id={`document-${index}`}
      name={sheet.text(`${at}/title`)}
      title={
        <>
          <span class="kind">{sheet.cell(`${at}/kind`)}</span> {sheet.cell(`${at}/title`)}
        </>
      }
      lines={lines}
      isOpen={lines <= FOLD_LINES}
      {...(isDiff ? { tally: tallyOf(sheet.text(`${at}/body`)) } : {})}
    >
      <pre class={`code-block${isDiff ? " diff" : ""}`} tabindex={0}>
        {sheet.lines(`${at}/body`, classOf)}
      </pre>
    </Fold>
  );
};

function diffClass(line: string): string | undefined {
  if (line.startsWith("+++") || line.startsWith("---") || line.startsWith("diff ")) return "d-file";
  if (line.startsWith("@@")) return "d-hunk";
  if (line.startsWith("+")) return "d-add";
  if (line.startsWith("-")) return "d-del";
  return undefined;
}

function tallyOf(diff: string): string {
  const lines = diff.split("\n");
  const added = lines.filter((line) => diffClass(line) === "d-add").length;
  const removed = lines.filter((line) => diffClass(line) === "d-del").length;
  return `+${added} −${removed}`;
}

const Changes: FC<{ view: View; sheet: Sheet }> = ({ view, sheet }) => {
  const { changes } = view.preview;
  return (
    <Fold
      id="changes"
      name="changes"
      title={<b>{counted(changes.length, "change")}</b>}
      lines={changes.length}
      isOpen={changes.length <= FOLD_CHANGES}
    >
      <ul class="changes">
        {changes.map((change, i) => {
          const at = `/preview/changes/${i}`;
          return (
            <li class={`change op-${change.op}`}>
              <span class="op">{sheet.cell(`${at}/op`)}</span>
              <span class="resource">{sheet.cell(`${at}/resource`)}</span>
              {change.before === null ? null : (
                <div class="side before">
                  <span class="side-name">before</span> {sheet.cell(`${at}/before`)}
                </div>
              )}
              {change.after === null ? null : (
                <div class="side after">
                  <span class="side-name">after</span> {sheet.cell(`${at}/after`)}
                </div>
              )}
            </li>
          );
        })}
      </ul>
    </Fold>
  );
};

const FIDELITY: Readonly<Record<Fidelity, string>> = {
  exact: "what is shown is the very thing that will run",
  pinned: "the backend refuses if the world has moved since",
  checked: "read again just before it runs; a small race remains",
  estimated: "the real numbers may differ",
  none: "nothing was previewed, these are the arguments only",
};

/** How far the evidence can be relied on, and by which digests it is bound. */
export const FidelityNote: FC<{ question: Question }> = ({ question }) => (
  <section class="fidelity" aria-label="How good the evidence is">
    <p>
      Evidence is <b data-at="/preview/fidelity">{question.fidelity}</b>: {FIDELITY[question.fidelity]}.
    </p>
    <details class="digests">
      <summary>Digests that your signature covers</summary>
      <dl>
        <dt>view</dt>
        <dd>
          <DigestText digest={question.view} />
        </dd>
        <dt>plan</dt>
        <dd>
          <DigestText digest={question.plan} />
        </dd>
        {question.files.map((file) => (
          <>
            <dt>file</dt>
            <dd>
              <DigestText digest={file} />
            </dd>
          </>
        ))}
        <dt>arguments</dt>
        <dd>
          <DigestText digest={question.arguments} />
        </dd>
        <dt>tool</dt>
        <dd>
          <DigestText digest={question.tool_definition} />
        </dd>
        <dt>demands</dt>
        <dd>
          <DigestText digest={question.requirement} />
        </dd>
      </dl>
    </details>
  </section>
);
