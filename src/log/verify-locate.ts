import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { finding, type Finding } from "./finding.ts";
import { HASH_BYTES, hashAt } from "./hash-list.ts";
import { rootOf, toHex, type TreeHash } from "./merkle.ts";
import { pass, placeOf, readSegments, type Cursor, type Lines } from "./verify-segments.ts";
import type { GrowingTree } from "./verify-tree.ts";

// A root that does not fit says that something was changed, not what. The store keeps the leaf hashes of full tiles in
// `tiles/0`, 32 bytes an entry. They are nobody's word: they are used where, with the tail of the log, they give the
// very root that was signed; then each line that does not fit its hash is one that was changed.

export async function locateChanges(parts: {
  readonly directory: string;
  readonly names: readonly string[];
  readonly tree: GrowingTree;
  readonly signed: { readonly size: number; readonly root: TreeHash };
}): Promise<readonly Finding[]> {
  const { tree, signed } = parts;
  const written = await readLeafTile(parts.directory);
  const known = Math.min(Math.floor(written.length / HASH_BYTES), signed.size);
  const leaves: TreeHash[] = [];
  const differing = new Set<number>();
  for (let seq = 0; seq < signed.size; seq += 1) {
    const stands = tree.leafAt(seq);
    const was = seq < known ? written.toString("latin1", seq * HASH_BYTES, (seq + 1) * HASH_BYTES) : stands;
    if (was !== stands) differing.add(seq);
    leaves.push(was);
  }
  const suspects = rootOf(leaves) === signed.root ? differing : new Set<number>();
  return readAgain(parts, suspects);
}

async function readLeafTile(directory: string): Promise<Buffer> {
  try {
    return await readFile(join(directory, "tiles", "0"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}

/** The second reading: where the suspects stand, and every line that is not JSON at all. */
async function readAgain(
  parts: { readonly directory: string; readonly names: readonly string[] },
  suspects: ReadonlySet<number>,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  let seq = 0;
  const look = ({ buffer, bounds, leaves }: Lines, line: number, cursor: Cursor): void => {
    const at = seq;
    seq += 1;
    if (suspects.has(at)) {
      const leaf = toHex(hashAt(leaves, line));
      const message = `entry ${at} was changed: its leaf is ${leaf.slice(0, 16)}…, another one was signed`;
      findings.push(finding("changed", { seq: at, place: placeOf(cursor), message }));
      return;
    }
    if (suspects.size > 0) return;
    try {
      JSON.parse(utf8.decode(buffer.subarray(bounds[2 * line], bounds[2 * line + 1])));
    } catch {
      const message = `entry ${at} is not a line of JSON`;
      findings.push(finding("changed", { seq: at, place: placeOf(cursor), message }));
    }
  };
  await readSegments(
    parts.directory,
    parts.names,
    1,
    (lines, cursor) => {
      for (let line = 0; line < lines.lines; line += 1, pass(cursor, lines, line - 1, 1))
        look(lines, line, cursor);
    },
    () => undefined,
  );
  return findings;
}
