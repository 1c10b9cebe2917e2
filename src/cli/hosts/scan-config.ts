import { printParseErrorCode, visit } from "jsonc-parser";
import { CountersignError } from "../../errors.ts";

// Reads a host's file for one purpose: where exactly one entry stands, or would stand. What it does not understand it
// refuses, because a host reads the same bytes and may understand something else.

/** Offsets of an object's braces, and of what a new last property has to come after. */
export interface ObjectSpan {
  /** Of `{`. */
  readonly open: number;
  /** Of `}`. */
  readonly close: number;
  /** Of the first property's key; null: it has none. */
  readonly firstKey: number | null;
  /** After the last property's value; null: it has none. */
  readonly lastEnd: number | null;
  /** Of a comma after the last property; null: there is none. */
  readonly trailingComma: number | null;
}

export interface PropertySpan {
  /** Of the key's opening quote. */
  readonly key: number;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** Of the comma before it; null: it is the first. */
  readonly commaBefore: number | null;
  /** Of the comma after it; null: there is none. */
  readonly commaAfter: number | null;
}

export interface ScannedConfig {
  /** Null: nothing but white space and comments. */
  readonly root: ObjectSpan | null;
  readonly section: (PropertySpan & { readonly object: ObjectSpan }) | null;
  readonly entry: PropertySpan | null;
  /** First comment or trailing comma, which plain JSON does not have. */
  readonly beyondJson: number | null;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Frame {
  readonly kind: "object" | "array";
  readonly span: Mutable<ObjectSpan>;
  /** The property that is being read. */
  property: Mutable<PropertySpan> | null;
  comma: number | null;
  readonly names: Set<string> | null;
}

/**
 * @param text without a byte order mark
 * @param file as messages name it
 * @throws CountersignError `HOST_CONFIG_INVALID` with the place
 */
export function scanConfig(text: string, file: string, section: string, name: string): ScannedConfig {
  const refuse = (offset: number, what: string, hint: string): never => {
    throw invalid(file, text, offset, what, hint);
  };
  const frames: Frame[] = [];
  let root: ObjectSpan | null = null;
  let sectionAt: Mutable<PropertySpan> | null = null;
  let sectionObject: ObjectSpan | null = null;
  let entry: Mutable<PropertySpan> | null = null;
  let beyondJson: number | null = null;
  const beyond = (offset: number): void => {
    beyondJson = Math.min(beyondJson ?? offset, offset);
  };

  const isSectionNext = (): boolean => frames.length === 1 && frames[0]?.property === sectionAt;
  const begin = (kind: "object" | "array", offset: number): void => {
    const isSection = sectionAt !== null && isSectionNext();
    if (frames.length === 0 && kind === "array") notAnObject("the file", offset, "an array");
    if (isSection && kind === "array") notAnObject(section, offset, "an array");
    startValue(offset);
    const isWatched = kind === "object" && (frames.length === 0 || isSection);
    const span = { open: offset, close: offset, firstKey: null, lastEnd: null, trailingComma: null };
    if (isSection) sectionObject = span;
    frames.push({ kind, span, property: null, comma: null, names: isWatched ? new Set() : null });
  };
  const notAnObject = (what: string, offset: number, found: string): never =>
    refuse(
      offset,
      `${what} has to be an object, and is ${found}`,
      "correct the file by hand, then try again",
    );
  const startValue = (offset: number): void => {
    const frame = frames.at(-1);
    if (frame === undefined) return;
    if (frame.kind === "array") frame.comma = null;
    if (frame.property !== null) frame.property.valueStart = offset;
  };
  const endValue = (end: number): void => {
    const frame = frames.at(-1);
    if (frame === undefined) return;
    if (frame.property !== null) frame.property.valueEnd = end;
    frame.span.lastEnd = end;
  };
  const end = (offset: number, length: number): void => {
    const frame = frames.pop();
    if (frame === undefined) return;
    frame.span.close = offset;
    frame.span.trailingComma = frame.comma;
    if (frame.comma !== null) beyond(frame.comma);
    if (frames.length === 0) root = frame.span;
    endValue(offset + length);
  };

  try {
    visit(
      text,
      {
        onObjectBegin: (offset) => begin("object", offset),
        onArrayBegin: (offset) => begin("array", offset),
        onObjectEnd: end,
        onArrayEnd: end,
        onObjectProperty(key, offset) {
          const frame = frames.at(-1);
          if (frame === undefined) return;
          frame.span.firstKey ??= offset;
          frame.property = {
            key: offset,
            valueStart: offset,
            valueEnd: offset,
            commaBefore: frame.comma,
            commaAfter: null,
          };
          frame.comma = null;
          const isSection = frames.length === 1 && key === section;
          const isEntry = frames.length === 2 && frame.span === sectionObject && key === name;
          if (!isSection && !isEntry) return;
          if (frame.names?.has(key) === true) {
            refuse(
              offset,
              `${key} stands there twice, and hosts differ in which one they read`,
              "remove one",
            );
          }
          frame.names?.add(key);
          if (isSection) sectionAt = frame.property;
          else entry = frame.property;
        },
        onLiteralValue(value, offset, length) {
          const found = value === null ? "null" : `a ${typeof value}`;
          if (frames.length === 0) notAnObject("the file", offset, found);
          if (sectionAt !== null && isSectionNext()) notAnObject(section, offset, found);
          startValue(offset);
          endValue(offset + length);
        },
        onSeparator(character, offset) {
          const frame = frames.at(-1);
          if (character !== "," || frame === undefined) return;
          frame.comma = offset;
          if (frame.property !== null) frame.property.commaAfter = offset;
        },
        onComment: (offset) => beyond(offset),
        onError(error, offset) {
          refuse(
            offset,
            `not JSON: ${wordsOf(printParseErrorCode(error))}`,
            "nothing was changed; correct the file, then try again",
          );
        },
      },
      { allowTrailingComma: true, allowEmptyContent: true },
    );
  } catch (error) {
    // The parser descends by recursion.
    if (error instanceof RangeError) refuse(0, "nested too deeply to be read", "correct the file by hand");
    throw error;
  }
  const found = sectionAt as PropertySpan | null;
  const object = sectionObject as ObjectSpan | null;
  return {
    root,
    section: found === null || object === null ? null : { ...found, object },
    entry,
    beyondJson,
  };
}

/** `PropertyNameExpected` as a person would say it. */
const wordsOf = (code: string): string =>
  code.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).toLowerCase();

/** Line and column of an offset, from 1. */
export function placeOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset).split(/\r\n|\n|\r/);
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

function invalid(file: string, text: string, offset: number, what: string, hint: string): CountersignError {
  const { line, column } = placeOf(text, offset);
  return new CountersignError("HOST_CONFIG_INVALID", `${file}:${line}:${column} ${what}`, {
    hint,
    details: { file, line, column },
  });
}
