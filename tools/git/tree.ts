import { ToolRefusal } from "../../src/tool.ts";
import { sha256, type ManifestFile } from "./manifest.ts";
import { readTyped, type ObjectReader } from "./objects.ts";
import { linkProblem } from "./symlinks.ts";
import { foldPath, namePartProblem } from "./tree-path.ts";

// From an object id to the list of files it stands for. Tree objects are parsed here, not listed by git, so that the
// list is as certain as the hashes; and never archived or checked out, so that no attribute of the repository
// (export-subst, export-ignore, ident, eol, filter) has a say in what is deployed.

export interface TreeLimits {
  /** Files and directories together; a small repository may name a huge tree by repeating a subtree. */
  readonly entries: number;
  readonly fileBytes: number;
  readonly treeBytes: number;
}

export interface SourceCommit {
  readonly commit: string;
  readonly tree: string;
}

const MAX_TREE_OBJECT = 16 * 1024 * 1024;
const MAX_DEPTH = 64;
const AHEAD = 8;

/** The commit an object id stands for, through annotated tags. @throws ToolRefusal */
export async function readCommit(reader: ObjectReader, oid: string): Promise<SourceCommit> {
  let at = oid;
  for (let hops = 0; hops < 10; hops += 1) {
    const { type, bytes } = await reader.read(at, 1024 * 1024);
    const head = bytes.toString("latin1");
    if (type === "commit") {
      const tree = /^tree ([0-9a-f]{40})\n/.exec(head)?.[1];
      if (tree === undefined) throw new ToolRefusal("source_rejected", `commit ${at} names no tree`);
      return { commit: at, tree };
    }
    const next = type === "tag" ? /^object ([0-9a-f]{40})\ntype (?:commit|tag)\n/.exec(head)?.[1] : undefined;
    if (next === undefined) throw new ToolRefusal("ref_unknown", `${at} is a ${type} and leads to no commit`);
    at = next;
  }
  throw new ToolRefusal("source_rejected", "a tag of a tag of a tag");
}

/** The tree of a subdirectory. @throws ToolRefusal `directory_missing` */
export async function descend(reader: ObjectReader, tree: string, directory: string): Promise<string> {
  let at = tree;
  for (const part of directory.split("/")) {
    const entry = parseTree(await readTyped(reader, at, "tree", MAX_TREE_OBJECT)).find(
      (one) => one.name === part,
    );
    if (entry?.mode !== "40000") throw new ToolRefusal("directory_missing", directory);
    at = entry.oid;
  }
  return at;
}

/** Every file under a tree, in the order of their paths, or a refusal of the whole. @throws ToolRefusal */
export async function readTree(
  reader: ObjectReader,
  tree: string,
  limits: TreeLimits,
): Promise<readonly ManifestFile[]> {
  const files: ManifestFile[] = [];
  const links = new Map<string, string>();
  const folded = new Map<string, string>();
  let entries = 0;
  let bytes = 0;

  const walk = async (oid: string, prefix: string, depth: number): Promise<void> => {
    if (depth > MAX_DEPTH) throw new ToolRefusal("tree_too_large", `deeper than ${MAX_DEPTH}`);
    const children = parseTree(await readTyped(reader, oid, "tree", MAX_TREE_OBJECT));
    const ahead = readAhead(reader, children, limits);
    for (const entry of children) {
      const path = prefix + entry.name;
      entries += 1;
      if (entries > limits.entries)
        throw new ToolRefusal("tree_too_large", `more than ${limits.entries} files`);
      const problem = namePartProblem(entry.name);
      if (problem !== undefined) throw new ToolRefusal("path_refused", `${JSON.stringify(path)} ${problem}`);
      if (Buffer.byteLength(path) > 1_024)
        throw new ToolRefusal("path_refused", `${JSON.stringify(path)} is too long`);
      const twin = folded.get(foldPath(path));
      if (twin !== undefined) {
        throw new ToolRefusal(
          "path_refused",
          `${JSON.stringify(path)} and ${JSON.stringify(twin)} are one on some file systems`,
        );
      }
      folded.set(foldPath(path), path);
      switch (entry.mode) {
        case "40000":
          await walk(entry.oid, `${path}/`, depth + 1);
          break;
        case "100644":
        case "100755":
        case "120000": {
          const content = await ahead.next();
          bytes += content.length;
          if (bytes > limits.treeBytes)
            throw new ToolRefusal("tree_too_large", `more than ${limits.treeBytes} bytes`);
          if (entry.mode === "120000") links.set(path, content.toString("utf8"));
          files.push({
            path,
            mode: entry.mode,
            size: content.length,
            sha256: sha256(content),
            oid: entry.oid,
          });
          break;
        }
        case "160000":
          throw new ToolRefusal("submodule_refused", path);
        default:
          throw new ToolRefusal("path_refused", `${JSON.stringify(path)} has the mode ${entry.mode}`);
      }
    }
  };
  await walk(tree, "", 0);

  for (const path of links.keys()) {
    const problem = linkProblem(path, links);
    if (problem !== undefined) throw new ToolRefusal("symlink_refused", `${JSON.stringify(path)} ${problem}`);
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Blobs of one directory, in order, a few of them asked for before they are wanted. */
function readAhead(
  reader: ObjectReader,
  entries: readonly TreeEntry[],
  limits: TreeLimits,
): { next(): Promise<Buffer> } {
  const wanted = entries.filter((entry) => ["100644", "100755", "120000"].includes(entry.mode));
  const asked: Promise<Buffer>[] = [];
  let index = 0;
  return {
    next() {
      for (; asked.length < AHEAD && index < wanted.length; index += 1) {
        const read = readTyped(reader, wanted[index]?.oid ?? "", "blob", limits.fileBytes);
        // A refusal counts when its turn comes; until then it is nobody's.
        read.catch(() => undefined);
        asked.push(read);
      }
      return asked.shift() ?? Promise.reject(new Error("no blob is left"));
    },
  };
}

interface TreeEntry {
  readonly mode: string;
  readonly name: string;
  readonly oid: string;
}

// gitformat: `<octal mode> <name>\0<20 bytes>`, repeated.
function parseTree(bytes: Buffer): readonly TreeEntry[] {
  const entries: TreeEntry[] = [];
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const end = bytes.indexOf(0, at);
    if (space < 0 || end < space || end + 21 > bytes.length)
      throw new ToolRefusal("source_rejected", "a malformed tree");
    const mode = bytes.toString("latin1", at, space);
    const oid = bytes.toString("hex", end + 1, end + 21);
    // Bytes that are no UTF-8 become U+FFFD here, and that is refused as a name.
    entries.push({ mode, name: bytes.toString("utf8", space + 1, end), oid });
    at = end + 21;
  }
  return entries;
}
