// Where a character of a YAML scalar's value stands in the file. Conditions are written inside scalars, and an
// error in one has to point at its own line and column, whatever the quoting.
//
// YAML drops indentation, folds lines and undoes escapes, but it never reorders and never invents a visible
// character. So the n-th visible (non-whitespace) character of the value is the n-th visible one of the source,
// after escapes are read. That one rule covers plain, quoted, literal and folded scalars alike.

export type ScalarStyle = "plain" | "single" | "double" | "block";

/** For each value offset (and one past the end) the offset in `source`, the scalar's text as it stands in the file. */
export function scalarOffsets(value: string, source: string, style: ScalarStyle): readonly number[] {
  const visible = visibleOffsets(source, style);
  const offsets: number[] = [];
  let next = 0;
  let last = -1;
  for (const char of value) {
    const at = /\s/.test(char) ? last + 1 : (visible[next++] ?? last + 1);
    for (let unit = 0; unit < char.length; unit += 1) offsets.push(Math.min(at + unit, source.length));
    last = at + char.length - 1;
  }
  offsets.push(Math.min(last + 1, source.length));
  return offsets;
}

function visibleOffsets(source: string, style: ScalarStyle): number[] {
  const offsets: number[] = [];
  let at = style === "block" ? source.indexOf("\n") + 1 : style === "plain" ? 0 : 1;
  const end = style === "single" || style === "double" ? source.length - 1 : source.length;
  while (at < end) {
    const char = String.fromCodePoint(source.codePointAt(at)!);
    let length = char.length;
    let isVisible = !/\s/.test(char);
    if (style === "single" && char === "'" && source[at + 1] === "'") length = 2;
    if (style === "double" && char === "\\") {
      const escape = /^\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[^])/.exec(
        source.slice(at, at + 10),
      );
      const text = escape?.[0] ?? "\\";
      length = text.length;
      isVisible = !INVISIBLE_ESCAPE.test(text);
    }
    if (isVisible) offsets.push(at);
    at += length;
  }
  return offsets;
}

// The escapes of YAML 1.2.2 §5.7 that give whitespace or join lines.
const INVISIBLE_ESCAPE =
  /^\\(?:[ntvfr \t\r\nN_LP]|x(?:09|0[a-dA-D]|20|85|[aA]0)|u(?:00(?:09|0[a-dA-D]|20|[aA]0)|2028|2029))$/;
