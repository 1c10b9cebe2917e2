import { readTyped, type ObjectReader } from "../git/objects.ts";
import type { Mirror } from "../git/mirror.ts";

/** The commits between what is served and what is to be. */
export interface CommitRange {
  readonly relation: "same" | "ahead" | "behind" | "diverged" | "unknown" | "first";
  /** Newest first. Where nothing is known of the current commit: the new one only. */
  readonly commits: readonly Commit[];
  /** True where there are more than were read. */
  readonly more: boolean;
}

export interface Commit {
  readonly id: string;
  /** As the commit has them: anyone may write anything here. */
  readonly author: string;
  readonly subject: string;
}

const MAX_COMMITS = 2_000;

/** @throws ToolRefusal */
export async function readRange(
  mirror: Mirror,
  reader: ObjectReader,
  options: { readonly from: string | null; readonly to: string; readonly signal: AbortSignal },
): Promise<CommitRange> {
  const { from, to, signal } = options;
  const one = async (relation: CommitRange["relation"]): Promise<CommitRange> => ({
    relation,
    commits: [await readCommitLine(reader, to)],
    more: false,
  });
  if (from === null) return one("first");
  if (from === to) return { relation: "same", commits: [], more: false };
  // A history that was rewritten long ago may have left the mirror.
  if (!(await mirror.isAncestor(from, from, signal))) return one("unknown");
  const relation = (await mirror.isAncestor(from, to, signal))
    ? "ahead"
    : (await mirror.isAncestor(to, from, signal))
      ? "behind"
      : "diverged";
  const ids = await mirror.between(from, to, MAX_COMMITS + 1, signal);
  const commits: Commit[] = [];
  for (const id of ids.slice(0, MAX_COMMITS)) commits.push(await readCommitLine(reader, id));
  return { relation, commits, more: ids.length > MAX_COMMITS };
}

async function readCommitLine(reader: ObjectReader, id: string): Promise<Commit> {
  const text = (await readTyped(reader, id, "commit", 4 * 1024 * 1024)).toString("utf8");
  const end = text.indexOf("\n\n");
  const head = end < 0 ? text : text.slice(0, end);
  const author = /^author (.*?) ?<[^\n>]*> \d+ [+-]\d{4}$/m.exec(head)?.[1] ?? "";
  const subject =
    end < 0
      ? ""
      : (text
          .slice(end + 2)
          .trimStart()
          .split("\n", 1)[0] ?? "");
  return { id, author: cut(author, 100), subject: cut(subject, 300) };
}

const cut = (text: string, length: number): string =>
  (text.length > length ? `${text.slice(0, length - 1)}…` : text).toWellFormed();

/** One line a commit. */
export function describeCommits(range: CommitRange): { readonly text: string; readonly complete: boolean } {
  const lines = range.commits.map(
    (commit) => `${commit.id.slice(0, 12)} ${commit.author}: ${commit.subject}\n`,
  );
  if (range.relation === "behind")
    lines.push("the new commit is part of the current history: nothing is added\n");
  if (range.more) lines.push(`more than ${range.commits.length} commits; the older ones are not shown\n`);
  return { text: lines.join("") || "no commits between the two\n", complete: !range.more };
}
