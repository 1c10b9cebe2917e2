// Names in a tree that an attacker wrote. What would mean something else on any file system this may be unpacked on is
// refused; git's own fsck refuses much of it at the fetch, and is not relied on.

/** Why one part of a path may not be unpacked, or undefined where it may. */
export function namePartProblem(part: string): string | undefined {
  if (part === "" || part === "." || part === "..") return "is no name";
  if (part.includes("/") || part.includes("\\")) return "holds a slash";
  if (/\p{Cc}/u.test(part)) return "holds a control character";
  if (!part.isWellFormed() || part.includes("\ufffd")) return "is not UTF-8";
  if (Buffer.byteLength(part) > 255) return "is longer than 255 bytes";
  if (isDotGit(part)) return "is git's own directory";
  return undefined;
}

// HFS+ ignores these within a name, so `.g\u200cit` opens `.git` there (the list of git's utf8.c).
const IGNORED_BY_HFS = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g;

/** `.git` as any file system may spell it: case, HFS+ ignorables, NTFS short name, trailing blanks, dots and streams. */
function isDotGit(part: string): boolean {
  const plain = part.replaceAll(IGNORED_BY_HFS, "").normalize("NFKC").toLowerCase();
  const ntfs = plain.replace(/:.*$/s, "").replace(/[. ]+$/, "");
  return plain === ".git" || ntfs === ".git" || ntfs === "git~1";
}

/** The form in which two paths are one on a file system that ignores case or normalises Unicode. */
export const foldPath = (path: string): string =>
  path.replaceAll(IGNORED_BY_HFS, "").normalize("NFKC").toUpperCase().toLowerCase().normalize("NFKC");

/** Characters that show nothing or turn the direction of text: a name or a line with them reads as something else. */
export const HIDDEN_CHARACTERS =
  /\u034f|\u17b4|\u17b5|[\u180b-\u180f]|[\ufe00-\ufe0e]|[\u{e0000}-\u{e0fff}]|[\u00ad\u061c\u115f\u1160\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0]/u;
