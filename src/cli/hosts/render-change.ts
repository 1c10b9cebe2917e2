import { neutralLine } from "../../base/text.ts";
import type { Edit } from "./edit-config.ts";
import { placeOf } from "./scan-config.ts";

// The diff of a host's file. It shows our lines and what they replace, and no neighbours: those are other servers, and
// their tokens stand there in plain text.

/**
 * Lines of a diff, neutral.
 * @param path as people know the file
 * @param before null: the file is new
 */
export function renderChange(path: string, before: string | null, edits: readonly Edit[]): readonly string[] {
  const body = (before ?? "").replace(/^\uFEFF/, "");
  const lines = [before === null ? "--- (no file)" : `--- ${neutralLine(path)}`, `+++ ${neutralLine(path)}`];
  const commas = edits.filter(isComma).map(({ offset }) => placeOf(body, offset).line);
  for (const edit of edits) {
    if (isComma(edit)) continue;
    const { offset, removed, inserted } = edit;
    const added = inserted.replace(/^,/, "");
    const { line } = placeOf(body, offset + removed.length - removed.trimStart().length);
    const comma = commas[0] ?? (added === inserted ? null : line);
    const where = removed === "" && /^\s*[\r\n]/.test(added) ? `after line ${line}` : `line ${line}`;
    lines.push(`@@ ${where}${comma === null ? "" : `, and a comma in line ${comma}`} @@`);
    const indent = /[ \t]*$/.exec(body.slice(0, offset))?.[0] ?? "";
    lines.push(...marked("-", removed, indent), ...marked("+", added, indent));
  }
  return lines;
}

/** What ties an entry to its neighbours. */
const isComma = ({ removed, inserted }: Edit): boolean => (removed + inserted).trim() === ",";

function marked(mark: string, text: string, indent: string): readonly string[] {
  if (text.trim() === "") return [];
  const first = /^\s*[\r\n]/.test(text) ? "" : indent;
  const whole = first + text.replace(/^(?:[ \t]*\r?\n)+/, "").trimEnd();
  return whole.split(/\r?\n/).map((line) => {
    const blank = /^[ \t]*/.exec(line)?.[0] ?? "";
    return mark + blank + neutralLine(line.slice(blank.length));
  });
}

/** The edits with what they take away told by {@link describeEntry}: an entry that somebody else made. */
export const withoutSecrets = (edits: readonly Edit[], name: string, before: unknown): readonly Edit[] =>
  edits.map((edit) => {
    if (isComma(edit) || edit.removed.trim() === "") return edit;
    const value = JSON.stringify(describeEntry(before), null, 2);
    const blank = /^\s*/.exec(edit.removed)?.[0] ?? "";
    return { ...edit, removed: blank + (edit.inserted === "" ? `${JSON.stringify(name)}: ${value}` : value) };
  });

/** Words after which a value is a secret. */
const SECRET = /token|key|secret|password|passwd|auth/i;
const HIDDEN = "(hidden)";

/** An entry that is somebody else's, for a person who decides whether it may go: without the secrets in it. */
export function describeEntry(entry: unknown): unknown {
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) return entry;
  return Object.fromEntries(
    Object.entries(entry).map(([key, value]) => {
      if ((key === "env" || key === "headers") && typeof value === "object" && value !== null)
        return [key, Object.fromEntries(Object.entries(value).map(([name, one]) => [name, hidden(one)]))];
      if (key === "args" && Array.isArray(value)) return [key, value.map(hideArgument)];
      if (key === "url" && typeof value === "string") return [key, value.replace(/\?.*$|\/\/[^/@]*@/g, "…")];
      return [key, SECRET.test(key) ? hidden(value) : value];
    }),
  );
}

/** A reference is no secret. */
const hidden = (value: unknown): unknown =>
  typeof value === "string" && /^(?:Bearer )?\$\{[\w:.-]+\}$/.test(value) ? value : HIDDEN;

function hideArgument(word: unknown, index: number, all: readonly unknown[]): unknown {
  if (typeof word !== "string") return word;
  const before = all[index - 1];
  if (typeof before === "string" && before.startsWith("-") && SECRET.test(before) && !/=|-file$/.test(before))
    return HIDDEN;
  return word.replace(/^(--?[\w-]*(?:token|key|secret|password|auth)[\w-]*=).*/i, `$1${HIDDEN}`);
}
