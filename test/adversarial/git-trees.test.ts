import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ToolRefusal } from "../../src/tool.ts";
import { createGit } from "../../tools/git/git.ts";
import { openObjects } from "../../tools/git/objects.ts";
import { readCommit, readTree } from "../../tools/git/tree.ts";
import { makeDeployWorld, type DeployWorld } from "../support/deploy-world.ts";
import { commitTree, writeBlob, writeRawTree, type RawEntry } from "../support/git-hostile.ts";
import { snapshotDirectory } from "../support/snapshot.ts";

// Can a tree made by hand name a file outside the release, over another one, or into git's own directory? Each is tried
// twice: through the fetch, where git's fsck may refuse it first, and straight against our own reading, which must
// refuse it alone.

let world: DeployWorld;
beforeEach(() => {
  world = makeDeployWorld();
});
afterEach(() => world.remove());

const code = async (work: Promise<unknown>): Promise<string> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof ToolRefusal ? error.code : `not refused: ${String(error)}`;
};

async function readDirectly(tree: string): Promise<unknown> {
  const git = createGit({ binary: "git", stateDir: world.stateDir, timeoutMs: 20_000 });
  const signal = new AbortController().signal;
  await git.ensureUsable(signal);
  const reader = openObjects(git, join(world.source.dir, ".git"), signal);
  try {
    return await readTree(reader, tree, { entries: 1_000, fileBytes: 1_000_000, treeBytes: 10_000_000 });
  } finally {
    await reader.close();
  }
}

async function tryTree(entries: readonly RawEntry[]): Promise<void> {
  const tree = writeRawTree(world.source, entries);
  const direct = await code(readDirectly(tree));
  expect(["path_refused", "submodule_refused", "symlink_refused", "source_rejected"]).toContain(direct);
  commitTree(world.source, tree);
  const before = snapshotDirectory(world.dir, (path) => path === "state");
  expect(["path_refused", "submodule_refused", "symlink_refused", "source_rejected"]).toContain(
    await code(world.preview()),
  );
  expect(snapshotDirectory(world.dir, (path) => path === "state")).toBe(before);
  expect(readdirSync(world.root)).toEqual([]);
}

const NAMES: Readonly<Record<string, string | Uint8Array>> = {
  "the parent": "..",
  "the directory itself": ".",
  "no name": "",
  "a path upwards": "../evil",
  "a path": "a/b",
  "an absolute path": "/etc/cron.d/evil",
  "a windows path": "..\\evil",
  "a drive": "C:\\evil",
  "git's directory": ".git",
  "git's directory in capitals": ".GIT",
  "git's directory in mixed case": ".gIt",
  "git's directory for HFS+": ".g\u200cit",
  "git's directory for HFS+, another way": "\ufeff.git",
  "git's directory by its NTFS short name": "GIT~1",
  "git's directory with a trailing dot": ".git.",
  "git's directory with trailing blanks": ".git  ",
  "git's directory by its NTFS stream": ".git::$INDEX_ALLOCATION",
  "git's directory in full width": "．git",
  "a newline": "a\nb",
  "a terminal escape": "a\u001b[2Jb",
  "a delete": "a\u007f",
  "a C1 control": "a\u009b2J",
  "bytes that are no UTF-8": new Uint8Array([0x61, 0xff, 0xfe]),
  "an overlong encoding of a slash": new Uint8Array([0x2e, 0x2e, 0xc0, 0xaf, 0x61]),
  "a surrogate": new Uint8Array([0xed, 0xa0, 0x80]),
  "a name of 256 bytes": "x".repeat(256),
};

describe("names of files", () => {
  for (const [what, name] of Object.entries(NAMES)) {
    test(`${what} is refused`, async () => {
      await tryTree([{ mode: "100644", name, oid: writeBlob(world.source, "evil\n") }]);
    });
  }
  for (const [what, name] of Object.entries(NAMES).slice(0, 14)) {
    test(`${what} is refused as a directory`, async () => {
      const inner = writeRawTree(world.source, [
        { mode: "100755", name: "evil", oid: writeBlob(world.source, "evil\n") },
      ]);
      await tryTree([{ mode: "40000", name, oid: inner }]);
    });
  }
});

describe("kinds of entries", () => {
  test.each([
    "160000",
    "100664",
    "100600",
    "104755",
    "106755",
    "040000",
    "20666",
    "60660",
    "0",
    "777",
    "120777",
    "644",
  ])("the mode %j is refused", async (mode) => {
    await tryTree([{ mode, name: "a", oid: writeBlob(world.source, "x") }]);
  });

  test("a directory that is a blob, and a file that is a tree", async () => {
    await tryTreeForged([{ mode: "40000", name: "a", oid: writeBlob(world.source, "x") }]);
    await tryTreeForged([{ mode: "100644", name: "a", oid: writeRawTree(world.source, []) }]);
    await tryTreeForged([{ mode: "100644", name: "a", oid: "0".repeat(40) }]);
  });

  async function tryTreeForged(entries: readonly RawEntry[]): Promise<void> {
    const tree = writeRawTree(world.source, entries);
    expect(["object_forged", "object_missing", "source_rejected"]).toContain(await code(readDirectly(tree)));
    commitTree(world.source, tree);
    expect(["object_forged", "source_rejected"]).toContain(await code(world.preview()));
  }

  test("a tree object that is cut off", async () => {
    const whole = Buffer.concat([Buffer.from("100644 a\0"), Buffer.alloc(20, 1)]);
    for (const length of [3, 8, 9, 20, 28]) {
      const oid = world.source.gitWith(
        whole.subarray(0, length),
        "hash-object",
        "-t",
        "tree",
        "-w",
        "--stdin",
        "--literally",
      );
      expect(await code(readDirectly(oid))).toBe("source_rejected");
    }
  });
});

describe("two names for one file", () => {
  const twice = (a: string, b: string): readonly RawEntry[] => [
    { mode: "100644", name: a, oid: writeBlob(world.source, "one\n") },
    { mode: "100644", name: b, oid: writeBlob(world.source, "two\n") },
  ];
  test.each([
    ["the same name", "a", "a"],
    ["another case", "readme", "README"],
    ["another composition", "caf\u00e9", "cafe\u0301"],
    ["a ligature", "ﬁle", "file"],
    ["the German sharp s", "straße", "STRASSE"],
    ["a name that HFS+ reads the same", "ab", "a\u200cb"],
  ])("%s is refused", async (_, a, b) => {
    await tryTree(twice(a, b));
  });

  test("a link and a directory of one name: a file is never written through a link", async () => {
    const inner = writeRawTree(world.source, [
      { mode: "100644", name: "evil", oid: writeBlob(world.source, "evil\n") },
    ]);
    await tryTree([
      { mode: "120000", name: "a", oid: writeBlob(world.source, "..") },
      { mode: "40000", name: "a", oid: inner },
    ]);
    await tryTree([
      { mode: "120000", name: "A", oid: writeBlob(world.source, "b") },
      { mode: "40000", name: "a", oid: inner },
    ]);
  });
});

test("an honest tree beside all this is read whole, in order, with modes and links", async () => {
  const blob = writeBlob(world.source, "x\n");
  const inner = writeRawTree(world.source, [{ mode: "100755", name: "run", oid: blob }]);
  const tree = writeRawTree(world.source, [
    { mode: "100644", name: ".gitignore", oid: blob },
    { mode: "40000", name: "bin", oid: inner },
    { mode: "120000", name: "link", oid: writeBlob(world.source, "bin/run") },
    { mode: "100644", name: "ünïcode 🚀", oid: blob },
  ]);
  expect(await readDirectly(tree)).toMatchObject([
    { path: ".gitignore", mode: "100644", size: 2 },
    { path: "bin/run", mode: "100755" },
    { path: "link", mode: "120000", size: 7 },
    { path: "ünïcode 🚀", mode: "100644" },
  ]);
});

test("a commit that is malformed, or that is no commit, is refused", async () => {
  const git = createGit({ binary: "git", stateDir: world.stateDir, timeoutMs: 20_000 });
  const signal = new AbortController().signal;
  await git.ensureUsable(signal);
  const reader = openObjects(git, join(world.source.dir, ".git"), signal);
  try {
    const hash = (type: string, text: string): string =>
      world.source.gitWith(text, "hash-object", "-t", type, "-w", "--stdin", "--literally");
    const tree = writeRawTree(world.source, []);
    expect(await code(readCommit(reader, hash("commit", "parent x\n\n")))).toBe("source_rejected");
    expect(await code(readCommit(reader, hash("commit", `author a\ntree ${tree}\n`)))).toBe(
      "source_rejected",
    );
    expect(await code(readCommit(reader, hash("tag", "object x\n")))).toBe("ref_unknown");
    expect(await code(readCommit(reader, "main"))).toBe("object_missing");
    let at = commitTree(world.source, tree);
    for (let i = 0; i < 12; i += 1)
      at = hash(
        "tag",
        `object ${at}\ntype ${i === 0 ? "commit" : "tag"}\ntag x\ntagger a <b> 0 +0000\n\nx\n`,
      );
    expect(await code(readCommit(reader, at))).toBe("source_rejected");
  } finally {
    await reader.close();
  }
});
