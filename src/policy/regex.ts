/** True where the pattern can only match a whole text: `^…$`, and no alternative that escapes the anchors. */
export function isAnchored(pattern: string): boolean {
  const body = pattern.replace(/^\(\?[a-zA-Z]+\)/, "");
  if (!body.startsWith("^") || !/(?<!\\)(\\\\)*\$$/.test(body)) return false;
  let depth = 0;
  let isInClass = false;
  for (let i = 0; i < body.length; i += 1) {
    const char = body[i];
    if (char === "\\") i += 1;
    else if (isInClass) isInClass = char !== "]";
    else if (char === "[") isInClass = true;
    else if (char === "(") depth += 1;
    else if (char === ")") depth -= 1;
    else if (char === "|" && depth === 0) return false;
  }
  return true;
}
