import { isDeepStrictEqual } from "node:util";
import { parse } from "jsonc-parser";
import type { JsonObject } from "../../base/canonical-json.ts";
import { scanConfig, type ObjectSpan, type PropertySpan, type ScannedConfig } from "./scan-config.ts";

// Changes one entry in the text of a host's file, and not one byte beside it.
//
//   E1. What is not the entry, the comma that ties it in, or white space around it stays, byte for byte: comments,
//       order, indentation, line ends, byte order mark, the last newline.
//   E2. The text that comes out is read again before anybody gets it.
//   E3. An entry that was put is taken out again without a trace, but for an emptied or new section.

export interface Edit {
  /** In the text before the change. */
  readonly offset: number;
  readonly removed: string;
  readonly inserted: string;
}

export interface EditedConfig {
  readonly text: string;
  /** Ascending, apart from each other. Empty: nothing to change. */
  readonly edits: readonly Edit[];
  /** What stands under the name before the change; undefined: nothing. */
  readonly before: unknown;
  readonly scanned: ScannedConfig;
}

export interface ConfigPlace {
  /** As messages name it. */
  readonly file: string;
  readonly section: string;
  readonly name: string;
}

const BOM = "\uFEFF";

/**
 * Puts an entry under a name, in place of what stands there.
 * @throws CountersignError `HOST_CONFIG_INVALID`
 */
export function putEntry(text: string, place: ConfigPlace, entry: JsonObject): EditedConfig {
  return edited(text, place, entry, (body, scanned) => {
    const { root, section, entry: there } = scanned;
    const style = styleOf(body, scanned);
    if (there !== null) {
      if (isDeepStrictEqual(valueOf(body, there), entry)) return [];
      const indent = indentBefore(body, there.key);
      const inserted = indent === null ? JSON.stringify(entry) : pretty(entry, style, indent);
      return [{ offset: there.valueStart, removed: slice(body, there), inserted }];
    }
    if (section !== null) return appendTo(body, section.object, place.name, entry, style);
    const whole = { [place.name]: entry };
    if (root !== null) return appendTo(body, root, place.section, whole, style);
    const document = `${pretty({ [place.section]: whole }, style, "")}${style.eol}`;
    if (body.trim() === "") return [{ offset: 0, removed: body, inserted: document }];
    // Comments and nothing else.
    const gap = /[\r\n]$/.test(body) ? "" : style.eol;
    return [{ offset: body.length, removed: "", inserted: gap + document }];
  });
}

/**
 * Takes the entry of a name out.
 * @throws CountersignError `HOST_CONFIG_INVALID`
 */
export function dropEntry(text: string, place: ConfigPlace): EditedConfig {
  return edited(text, place, undefined, (body, { section, entry }) =>
    section === null || entry === null ? [] : removal(body, section.object, entry),
  );
}

function edited(
  text: string,
  place: ConfigPlace,
  entry: JsonObject | undefined,
  plan: (body: string, scanned: ScannedConfig) => readonly Edit[],
): EditedConfig {
  const mark = text.startsWith(BOM) ? BOM : "";
  const body = text.slice(mark.length);
  const scan = (what: string): ScannedConfig => scanConfig(what, place.file, place.section, place.name);
  const scanned = scan(body);
  const edits = plan(body, scanned);
  const before = scanned.entry === null ? undefined : valueOf(body, scanned.entry);
  const after = applyEdits(body, edits);
  if (edits.length > 0) demandResult(after, scan(after), entry);
  return { text: mark + after, edits, before, scanned };
}

/** (E2) */
function demandResult(after: string, { entry }: ScannedConfig, wanted: JsonObject | undefined): void {
  const found = entry === null ? undefined : valueOf(after, entry);
  if (!isDeepStrictEqual(found, wanted)) throw new Error("the edited text does not say what was meant (E2)");
}

function applyEdits(body: string, edits: readonly Edit[]): string {
  let after = "";
  let at = 0;
  for (const { offset, removed, inserted } of edits) {
    after += body.slice(at, offset) + inserted;
    at = offset + removed.length;
  }
  return after + body.slice(at);
}

const slice = (body: string, { valueStart, valueEnd }: PropertySpan): string =>
  body.slice(valueStart, valueEnd);

const valueOf = (body: string, property: PropertySpan): unknown => parse(slice(body, property)) as unknown;

interface Style {
  readonly eol: string;
  /** One level of indentation. */
  readonly unit: string;
}

function styleOf(body: string, { root }: ScannedConfig): Style {
  const key = root?.firstKey ?? null;
  const first = key === null ? null : indentBefore(body, key);
  return {
    eol: /\r\n|\n/.exec(body)?.[0] ?? "\n",
    unit: first === null || first === "" ? "  " : first,
  };
}

/** White space before a token that begins its line; null where something else stands before it. */
function indentBefore(body: string, offset: number): string | null {
  let start = offset;
  while (start > 0 && isBlank(body[start - 1])) start -= 1;
  return start > 0 && !isLineEnd(body[start - 1]) ? null : body.slice(start, offset);
}

/** Indentation of the line that an offset stands on. */
function lineIndent(body: string, offset: number): string {
  let start = offset;
  while (start > 0 && !isLineEnd(body[start - 1])) start -= 1;
  return /^[ \t]*/.exec(body.slice(start, offset))?.[0] ?? "";
}

const isBlank = (character: string | undefined): boolean => character === " " || character === "\t";
const isLineEnd = (character: string | undefined): boolean => character === "\n" || character === "\r";

const pretty = (value: JsonObject, { eol, unit }: Style, indent: string): string =>
  JSON.stringify(value, null, unit).replaceAll("\n", eol + indent);

/** A new last property. */
function appendTo(
  body: string,
  object: ObjectSpan,
  name: string,
  value: JsonObject,
  style: Style,
): readonly Edit[] {
  const { open, close, firstKey, lastEnd, trailingComma } = object;
  if (firstKey === null || lastEnd === null) {
    const outer = lineIndent(body, open);
    const offset = open + 1 + body.slice(open + 1, close).trimEnd().length;
    const closing = /[\r\n]/.test(body.slice(offset, close)) ? "" : style.eol + outer;
    const indent = outer + style.unit;
    const property = `${JSON.stringify(name)}: ${pretty(value, style, indent)}`;
    return [{ offset, removed: "", inserted: style.eol + indent + property + closing }];
  }
  const comma = trailingComma === null ? "" : ",";
  const indent = indentBefore(body, firstKey);
  const isCompact = indent === null;
  const property = isCompact
    ? `${JSON.stringify(name)}:${JSON.stringify(value)}`
    : `${style.eol}${indent}${JSON.stringify(name)}: ${pretty(value, style, indent)}`;
  const after = trailingComma === null ? lastEnd : trailingComma + 1;
  // A comment at the end of the last property's line belongs to that property.
  const offset = isCompact ? after : afterLineComment(body, after);
  if (trailingComma !== null) return [{ offset, removed: "", inserted: property + comma }];
  if (offset === lastEnd) return [{ offset, removed: "", inserted: `,${property}` }];
  return [
    { offset: lastEnd, removed: "", inserted: "," },
    { offset, removed: "", inserted: property },
  ];
}

/** Past comments on the rest of the line, if nothing else stands there. */
function afterLineComment(body: string, from: number): number {
  const rest = /^(?:[ \t]*\/\*(?:(?!\*\/)[^\r\n])*\*\/)*[ \t]*(?:\/\/[^\r\n]*)?(?=[\r\n])/.exec(
    body.slice(from),
  );
  return rest === null ? from : from + rest[0].trimEnd().length;
}

function removal(body: string, object: ObjectSpan, entry: PropertySpan): readonly Edit[] {
  const { key, valueEnd, commaBefore, commaAfter } = entry;
  const before = body.slice(object.open + 1, key);
  const tail = commaAfter ?? valueEnd - 1;
  const rest = body.slice(Math.max(tail + 1, valueEnd), object.close);
  const isAlone = commaBefore === null && before.trim() === "" && rest.trim() === "";
  if (isAlone && body.slice(valueEnd, Math.max(tail, valueEnd)).trim() === "") {
    return [{ offset: object.open + 1, removed: body.slice(object.open + 1, object.close), inserted: "" }];
  }
  const edits: Edit[] = [];
  const cut = (from: number, to: number): void => {
    edits.push({ offset: from, removed: body.slice(from, to), inserted: "" });
  };
  if (commaAfter === null && commaBefore !== null) cut(commaBefore, commaBefore + 1);
  let start = key;
  while (isBlank(body[start - 1])) start -= 1;
  // The line end before it goes too, unless what follows would slip into the line above, perhaps into its comment.
  const isLast = commaAfter === null || commaAfter === object.trailingComma;
  const followsComma = commaBefore !== null && body.slice(commaBefore + 1, start).trim() === "";
  if (isLineEnd(body[start - 1])) {
    if (/^[ \t]*(?=[\r\n])/.test(rest) || (isLast && followsComma))
      start -= body.slice(start - 2, start) === "\r\n" ? 2 : 1;
    else start = key;
  }
  if (commaBefore !== null) start = Math.max(start, commaBefore + 1);
  cut(start, valueEnd);
  if (commaAfter !== null) cut(commaAfter, commaAfter + 1);
  return edits;
}
