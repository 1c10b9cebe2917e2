// Names of branches and tags: which an agent may say, and which the operator allows.
//
// Two families are known, refs/heads and refs/tags. Everything else a repository may hold under refs/ (pull requests,
// replacements, notes) has no name here.

export type RefFamily = "heads" | "tags";

export type RefRequest =
  /** `main`, `v1.2`: a branch or a tag, whichever there is. */
  | { readonly kind: "short"; readonly name: string }
  /** `refs/heads/main`. */
  | { readonly kind: "full"; readonly family: RefFamily; readonly name: string }
  /** 40 hex digits. */
  | { readonly kind: "commit"; readonly commit: string };

export const MAX_REF_LENGTH = 200;

/** What an agent said, or undefined where it is no ref name (git-check-ref-format(1), and no leading `-`). */
export function parseRef(text: string): RefRequest | undefined {
  if (/^[0-9a-f]{40}$/.test(text)) return { kind: "commit", commit: text };
  const full = /^refs\/(heads|tags)\/(.+)$/s.exec(text);
  const name = full?.[2] ?? text;
  if (text.length > MAX_REF_LENGTH || !isRefName(name)) return undefined;
  if (full !== null) return { kind: "full", family: full[1] as RefFamily, name };
  return name.startsWith("refs/") ? undefined : { kind: "short", name };
}

/** The rules of git-check-ref-format(1) for the part after `refs/heads/`, and ours: no leading `-`, well-formed text. */
export function isRefName(name: string): boolean {
  return (
    name !== "" &&
    name !== "@" &&
    !name.startsWith("-") &&
    // Blank, DEL and control characters, and the characters of revision syntax and of patterns.
    !/[\p{Cc}\p{Zs}\p{Zl}\p{Zp}\p{Cf}~^:?*[\\]/u.test(name) &&
    !name.includes("..") &&
    !name.includes("@{") &&
    name.isWellFormed() &&
    !name.endsWith(".") &&
    name.split("/").every((part) => part !== "" && !part.startsWith(".") && !part.endsWith(".lock"))
  );
}

/** True for what may stand under `refs:` in a registration. */
export const isRefPattern = (pattern: string): boolean =>
  pattern.length <= MAX_REF_LENGTH && isRefName(pattern.replaceAll("*", "x"));

/** Whether one of the operator's patterns allows this branch or tag. */
export function isAllowedRef(family: RefFamily, name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const only = /^(heads|tags)\/(.+)$/.exec(pattern);
    if (only !== null) return only[1] === family && matchesPattern(name, only[2] ?? "");
    return matchesPattern(name, pattern);
  });
}

/** `*`: any run without a slash; `**`: any run. Work is at most the product of the two lengths. */
function matchesPattern(name: string, pattern: string): boolean {
  const tokens = pattern.match(/\*\*+|\*|[^*]/g) ?? [];
  // The set of places in `name` that the tokens so far can have reached.
  let reached = new Set([0]);
  for (const token of tokens) {
    const next = new Set<number>();
    for (const at of reached) {
      if (!token.startsWith("*")) {
        if (name.startsWith(token, at)) next.add(at + token.length);
        continue;
      }
      for (let end = at; end <= name.length; end += 1) {
        if (next.has(end) && end > at) break;
        next.add(end);
        if (token === "*" && name[end] === "/") break;
      }
    }
    reached = next;
    if (reached.size === 0) return false;
  }
  return reached.has(name.length);
}
