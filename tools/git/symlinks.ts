/** A path inside a release, with what stands there. `target` is the text of a symbolic link. */
export interface LinkMap {
  get(path: string): string | undefined;
}

const MAX_HOPS = 40;

/**
 * Follows the symbolic link at `path` as the kernel would, and says why it may not be unpacked, or undefined where it
 * stays inside the release: through chains and through directories that are links themselves.
 */
export function linkProblem(path: string, links: LinkMap): string | undefined {
  let hops = 0;
  const at: string[] = path.split("/").slice(0, -1);
  const todo: string[] = [];
  const follow = (target: string): string | undefined => {
    hops += 1;
    if (hops > MAX_HOPS) return "goes round in circles";
    if (target === "") return "is empty";
    if (target.startsWith("/")) return "is absolute";
    if (/[\p{Cc}\\]/u.test(target) || !target.isWellFormed() || target.includes("\ufffd")) {
      return "holds a backslash, a control character or no UTF-8";
    }
    if (Buffer.byteLength(target) > 1_024) return "is longer than 1024 bytes";
    todo.unshift(...target.split("/"));
    return undefined;
  };
  let problem = follow(links.get(path) ?? "");
  while (problem === undefined && todo.length > 0) {
    const part = todo.shift() as string;
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (at.length === 0) return "leaves the release";
      at.pop();
      continue;
    }
    const target = links.get([...at, part].join("/"));
    if (target === undefined) at.push(part);
    else problem = follow(target);
    if (todo.length > 4_096) return "goes round in circles";
  }
  return problem;
}
