// Names in `match` and in `glob()`: `*` stands for any run of characters, `?` for exactly one. Nothing else is
// special, so a name that comes from a registry never needs escaping. Matching never backtracks further than the
// last `*`, so no text can make it slow.

/** True where the pattern is not just a name. */
export const isGlob = (pattern: string): boolean => /[*?]/.test(pattern);

/** A test for one pattern. */
export function globMatcher(pattern: string): (text: string) => boolean {
  if (!isGlob(pattern)) return (text) => text === pattern;
  if (pattern === "*") return () => true;
  const prefix = globPrefix(pattern);
  if (prefix.length === pattern.length - 1 && pattern.endsWith("*")) return (text) => text.startsWith(prefix);
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return (text) => text.length === first.length && fits(text, 0, first);
  return (text) => {
    if (text.length < first.length + last.length || !fits(text, 0, first)) return false;
    const end = text.length - last.length;
    if (!fits(text, end, last)) return false;
    let at = first.length;
    for (const part of rest) {
      const found = search(text, at, end, part);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= end;
  };
}

/** A test for several names or patterns: true where any of them fits. */
export function namesMatcher(patterns: readonly string[]): (text: string) => boolean {
  if (patterns.length === 1) return globMatcher(patterns[0]!);
  const names = new Set(patterns.filter((pattern) => !isGlob(pattern)));
  const globs = patterns.filter(isGlob).map(globMatcher);
  return (text) => names.has(text) || globs.some((matches) => matches(text));
}

/** The literal text before the first `*` or `?`. */
export const globPrefix = (pattern: string): string => /^[^*?]*/.exec(pattern)![0];

/** True where everything that `narrow` matches, `wide` matches too. May miss some, never claims too much. */
export function globCovers(wide: string, narrow: string): boolean {
  if (wide === narrow || wide === "*") return true;
  if (!isGlob(narrow)) return globMatcher(wide)(narrow);
  const prefix = globPrefix(wide);
  return prefix.length === wide.length - 1 && wide.endsWith("*") && globPrefix(narrow).startsWith(prefix);
}

function fits(text: string, at: number, part: string): boolean {
  for (let i = 0; i < part.length; i += 1) {
    if (part[i] !== "?" && part[i] !== text[at + i]) return false;
  }
  return true;
}

function search(text: string, from: number, end: number, part: string): number {
  for (let at = from; at + part.length <= end; at += 1) if (fits(text, at, part)) return at;
  return -1;
}
