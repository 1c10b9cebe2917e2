import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ToolRefusal } from "../../src/tool.ts";
import { makeDeployWorld, type DeployWorld } from "../support/deploy-world.ts";
import {
  armRepository,
  commitTree,
  makeCanary,
  writeBlob,
  writeRawTree,
  type Canary,
} from "../support/git-hostile.ts";
import { makeGitSource } from "../support/git-source.ts";
import { snapshotDirectory } from "../support/snapshot.ts";

// Can whoever writes the repository make the gateway run something, read something else than was shown, or write
// outside a release (P5)? The repository is the attacker's, down to its .git directory.

let world: DeployWorld;
let canary: Canary;
beforeEach(() => {
  world = makeDeployWorld();
  canary = makeCanary(join(world.dir, "canary"));
});
afterEach(() => world.remove());

const refusal = async (work: Promise<unknown>): Promise<string> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof ToolRefusal ? error.code : `not refused: ${String(error)}`;
};

/** For commands that may well fail, because of what they ran. */
const attempt = (work: () => unknown): void => {
  try {
    work();
  } catch {
    return;
  }
};

/** Everything beside what the tool may write. */
const surroundings = (): string =>
  snapshotDirectory(world.dir, (path) => /^(state|srv|work|health-runs)$/.test(path));

describe("nothing of the repository's configuration runs", () => {
  test("the canary sings where git is run in the repository itself", () => {
    world.source.commit({ "a.txt": "a\n" });
    armRepository(world.source, canary);
    writeFileSync(join(world.source.dir, "a.txt"), "b\n");
    attempt(() => world.source.git("status"));
    expect(canary.ran()).toBe(true);
    canary.clear();
    attempt(() => world.source.git("diff"));
    expect(canary.ran()).toBe(true);
  });

  test("config, hooks, filters, drivers, pagers, aliases, includes and promisors stay silent in preview, guard, execute, revoke", async () => {
    world.source.commit({ "a.txt": "one\n", ".gitattributes": "* filter=evil diff=evil merge=evil\n" });
    await world.deploy();
    world.source.commit({ "a.txt": "two\n" });
    armRepository(world.source, canary);
    canary.clear();
    const before = surroundings();
    const tool = world.tool();
    const preview = await world.preview("main", tool);
    expect(await tool.guard(preview.plan, world.context())).toBe(preview.guard);
    const { undo } = await tool.execute(preview.plan, world.context({ preview }));
    expect(world.served("a.txt")).toBe("two\n");
    await tool.revoke(undo, world.context());
    expect(canary.ran()).toBe(false);
    expect(existsSync(join(world.source.dir, "trace-canary"))).toBe(false);
    expect(surroundings()).toBe(before);
  });

  test("a source that lacks an object is not allowed to fetch it from where it says", async () => {
    const commit = world.source.commit({ "a.txt": "one\n" });
    armRepository(world.source, canary);
    const blob = world.source.git("rev-parse", `${commit}:a.txt`);
    rmSync(join(world.source.dir, ".git/objects", blob.slice(0, 2), blob.slice(2)));
    canary.clear();
    expect(() => world.source.git("cat-file", "-p", blob)).toThrow();
    expect(canary.ran()).toBe(true);
    canary.clear();
    expect(await refusal(world.preview())).toBe("source_rejected");
    expect(canary.ran()).toBe(false);
  });

  test("the gateway's own GIT_ variables and git configuration reach nothing", async () => {
    world.source.commit({ "a.txt": "one\n" });
    const hostile = {
      GIT_DIR: join(world.source.dir, ".git"),
      GIT_SSH_COMMAND: canary.program,
      GIT_EXTERNAL_DIFF: canary.program,
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "uploadpack.packObjectsHook",
      GIT_CONFIG_VALUE_0: canary.program,
      GIT_TRACE2_EVENT: join(world.dir, "trace-canary"),
      GIT_EXEC_PATH: world.dir,
      GIT_PAGER: canary.program,
      HOME: world.dir,
      XDG_CONFIG_HOME: world.dir,
    };
    writeFileSync(join(world.dir, ".gitconfig"), `[uploadpack]\n\tpackObjectsHook = ${canary.program}\n`);
    const saved = { ...process.env };
    Object.assign(process.env, hostile);
    try {
      await world.deploy();
    } finally {
      process.env = saved;
    }
    expect(canary.ran()).toBe(false);
    expect(existsSync(join(world.dir, "trace-canary"))).toBe(false);
  });

  test("a repository whose path is full of shell characters is one word", async () => {
    const parent = join(world.dir, `it's $(touch canary-path) "odd"; #%20`);
    mkdirSync(parent);
    const odd = makeGitSource(parent);
    odd.commit({ "a.txt": "one\n" });
    world.entry = { ...world.entry, repository: odd.dir };
    await world.deploy();
    expect(world.served("a.txt")).toBe("one\n");
    expect(readdirSync(world.dir)).not.toContain("canary-path");
  });

  test("a repository of another account is read all the same, since the operator registered it", async (context) => {
    if (process.getuid?.() !== 0) return context.skip("only root can give a directory away");
    world.source.commit({ "a.txt": "one\n" });
    execFileSync("chown", ["-R", "12345", world.source.dir]);
    await world.deploy();
    expect(world.served("a.txt")).toBe("one\n");
  });
});

describe("attributes of the repository change no byte of what is deployed, and hide none of what is shown", () => {
  test("export-subst, export-ignore, ident, eol, encodings, filters and -diff", async () => {
    const files = {
      ".gitattributes":
        "subst.txt export-subst\nignored.txt export-ignore\nident.txt ident\ncrlf.txt text eol=crlf\n" +
        "utf16.txt working-tree-encoding=UTF-16\n*.js -diff\nhidden.txt binary\n",
      "subst.txt": "$Format:%H$\n",
      "ignored.txt": "still here\n",
      "ident.txt": "$Id$\n",
      "crlf.txt": "a\nb\n",
      "hidden.txt": "rm -rf /\n",
      "evil.js": "evil()\n",
    };
    world.source.commit(files);
    const preview = await world.preview();
    const diff = preview.view.documents.find((one) => one.kind === "diff")?.body ?? "";
    for (const line of ["+$Format:%H$", "+still here", "+$Id$", "+rm -rf /", "+evil()"])
      expect(diff).toContain(line);
    await world.tool().execute(preview.plan, world.context({ preview }));
    for (const [path, content] of Object.entries(files)) expect(world.served(path)).toBe(content);
  });
});

describe("what an id names is what is read", () => {
  test("replacements and grafts of the source are not fetched", async () => {
    const honest = world.source.commit({ "a.txt": "honest\n" });
    const evil = world.source.commit({ "a.txt": "evil\n" });
    world.source.git("update-ref", "refs/heads/main", honest);
    world.source.git("replace", honest, evil);
    world.source.git(
      "replace",
      world.source.git("--no-replace-objects", "rev-parse", `${honest}:a.txt`),
      world.source.git("rev-parse", `${evil}:a.txt`),
    );
    mkdirSync(join(world.source.dir, ".git/info"), { recursive: true });
    writeFileSync(join(world.source.dir, ".git/info/grafts"), `${honest} ${evil}\n`);
    expect(world.source.git("show", `${honest}:a.txt`)).toBe("evil");
    const { output } = await world.deploy();
    expect(output["commit"]).toBe(honest);
    expect(world.served("a.txt")).toBe("honest\n");
    const mirror = join(world.stateDir, "mirrors/web.git");
    const refs = execFileSync("git", ["-C", mirror, "for-each-ref", "--format=%(refname)"]).toString();
    expect(refs.split("\n").filter((ref) => ref !== "" && !ref.startsWith("refs/countersign/"))).toEqual([]);
  });

  test("a replacement planted in the mirror itself has no say", async () => {
    const honest = world.source.commit({ "a.txt": "honest\n" });
    const evil = world.source.commit({ "a.txt": "evil\n" });
    world.source.git("branch", "release/evil", evil);
    world.source.git("reset", "-q", "--hard", honest);
    await world.preview("release/evil");
    const mirror = join(world.stateDir, "mirrors/web.git");
    execFileSync("git", ["-C", mirror, "update-ref", `refs/replace/${honest}`, evil]);
    await world.deploy();
    expect(world.served("a.txt")).toBe("honest\n");
  });

  test("an object of the mirror that was exchanged is found out by its hash, in preview and in execute", async () => {
    world.source.commit({ "a.txt": "honest\n" });
    const preview = await world.preview();
    const mirror = join(world.stateDir, "mirrors/web.git");
    const blob = world.source.git("rev-parse", "main:a.txt");
    // The pack becomes loose files, of which one is exchanged.
    const packs = join(mirror, "objects/pack");
    const pack = readdirSync(packs).find((name) => name.endsWith(".pack")) as string;
    const bytes = readFileSync(join(packs, pack));
    rmSync(packs, { recursive: true });
    mkdirSync(packs);
    execFileSync("git", ["-C", mirror, "unpack-objects", "-q"], { input: bytes });
    const loose = join(mirror, "objects", blob.slice(0, 2), blob.slice(2));
    chmodSync(loose, 0o644);
    writeFileSync(loose, deflateSync(Buffer.from("blob 7\0evil!!\n")));
    expect(execFileSync("git", ["-C", mirror, "cat-file", "blob", blob]).toString()).toBe("evil!!\n");
    expect(await refusal(world.preview())).toBe("object_forged");
    const error: unknown = await world
      .tool()
      .execute(preview.plan, world.context({ preview }))
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: "NoEffect", code: "object_forged" });
    expect(world.current()).toBe(null);
    expect(readdirSync(join(world.root, "releases"))).toEqual([]);
  });

  test("the mirror stands on its own: alternates of the source are not needed afterwards", async () => {
    const other = makeGitSource(world.dir);
    const commit = other.commit({ "private.txt": "from elsewhere\n" });
    world.source.commit({ "a.txt": "a\n" });
    writeFileSync(join(world.source.dir, ".git/objects/info/alternates"), `${other.dir}/.git/objects\n`);
    world.source.git("update-ref", "refs/heads/main", commit);
    const preview = await world.preview();
    expect(JSON.stringify(preview.view)).toContain("from elsewhere");
    expect(existsSync(join(world.stateDir, "mirrors/web.git/objects/info/alternates"))).toBe(false);
    other.remove();
    execFileSync("git", ["-C", join(world.stateDir, "mirrors/web.git"), "fsck", "--full", "--strict"], {
      stdio: "pipe",
    });
  });
});

describe("a ref is a name and nothing else", () => {
  test.each([
    "--upload-pack=touch canary",
    "-x",
    "main:refs/heads/x",
    "^main",
    "main~1",
    "main^{tree}",
    "main@{1}",
    "@",
    "a..b",
    "a b",
    "a\nb",
    "a\0b",
    "*",
    "refs/pull/1/head",
    "refs/replace/x",
    "refs/heads/",
    "main.lock",
    ".hidden",
    "a//b",
    "a/",
    "HEAD~",
    "ma\u200bin",
    "main\u202e",
    "\ud800",
    "x".repeat(201),
    "",
    "refs/heads/-x",
    "a\\b",
    "[a]",
    "a?b",
  ])("%j is refused before anything is asked of the source", async (ref) => {
    world.source.commit({ "a.txt": "a\n" });
    const tool = world.tool();
    expect(tool.parseInput({ service: "web", ref }).ok).toBe(false);
    expect(["ref_malformed", "ref_not_allowed", "ref_unknown"]).toContain(await refusal(world.preview(ref)));
    expect(readdirSync(world.dir).filter((name) => name.startsWith("canary-"))).toEqual([]);
  });

  test("branches with shell characters in their names are deployed and run nothing", async () => {
    world.entry = { ...world.entry, refs: ["**"] };
    const commit = world.source.commit({ "a.txt": "a\n" });
    for (const name of [
      "$(touch${IFS}canary-ran)",
      "`id`;ls&&x|y",
      "it's",
      'quo"te',
      "ünïcode/🚀",
      "%s%n",
      "#x",
      "!x",
      "a=b,c",
      "+x",
      "(x)",
      "<x>",
    ]) {
      world.source.git("update-ref", `refs/heads/${name}`, commit);
      const preview = await world.preview(name);
      expect(preview.view.facts["ref"]).toBe(`refs/heads/${name}`);
      expect(preview.view.facts["commit"]).toBe(commit);
    }
    expect(readdirSync(world.source.dir).sort()).toEqual([".git", "a.txt"]);
    expect(existsSync(join(world.dir, "canary-ran"))).toBe(false);
  });

  test("what the operator does not allow is refused, also by its full name, its tag, or its commit", async () => {
    const main = world.source.commit({ "a.txt": "a\n" });
    world.source.git("checkout", "-q", "-b", "feature/evil");
    const evil = world.source.commit({ "a.txt": "evil\n" });
    world.source.git("tag", "evil", evil);
    world.source.git("tag", "main-tag", main);
    world.source.git("update-ref", "refs/pull/1/head", evil);
    world.source.git("update-ref", "refs/replace/main", evil);
    for (const ref of ["feature/evil", "refs/heads/feature/evil", "evil", "refs/tags/evil", "main-tag"]) {
      expect(await refusal(world.preview(ref))).toBe("ref_not_allowed");
    }
    for (const ref of ["pull/1/head", "heads/feature/evil", "origin/main"])
      expect(["ref_not_allowed", "ref_unknown"]).toContain(await refusal(world.preview(ref)));
    expect(await refusal(world.preview(evil))).toBe("commit_unreachable");
    expect(await refusal(world.preview("0".repeat(40)))).toBe("commit_unreachable");
    expect((await world.preview(main)).view.facts).toMatchObject({
      commit: main,
      ref_kind: "commit",
      ref: "refs/heads/main",
    });
  });

  test("a name that is a branch and a tag is refused until it says which", async () => {
    const first = world.source.commit({ "a.txt": "a\n" });
    const second = world.source.commit({ "a.txt": "b\n" });
    world.entry = { ...world.entry, refs: ["*"] };
    world.source.git("update-ref", "refs/heads/v1", first);
    world.source.git("update-ref", "refs/tags/v1", second);
    expect(await refusal(world.preview("v1"))).toBe("ref_ambiguous");
    expect((await world.preview("refs/heads/v1")).view.facts["commit"]).toBe(first);
    expect((await world.preview("refs/tags/v1")).view.facts["commit"]).toBe(second);
  });

  test("a branch that is named like a commit never stands for that commit", async () => {
    const main = world.source.commit({ "a.txt": "a\n" });
    const evil = world.source.git("commit-tree", "main^{tree}", "-m", "evil");
    world.entry = { ...world.entry, refs: ["*"] };
    writeFileSync(join(world.source.dir, ".git/refs/heads", main), `${evil}\n`);
    expect((await world.preview(main)).view.facts["commit"]).toBe(main);
  });

  test("a tag of a tag leads to its commit, a tag of a tree to a refusal", async () => {
    const commit = world.source.commit({ "a.txt": "a\n" });
    world.source.git("tag", "-a", "-m", "x", "v1", commit);
    world.source.git("tag", "-a", "-m", "x", "v2", "v1");
    world.source.git("tag", "-a", "-m", "x", "v3", `${commit}^{tree}`);
    world.source.git("tag", "v4", `${commit}:a.txt`);
    expect((await world.preview("v2")).view.facts).toMatchObject({ commit, ref_kind: "tag" });
    expect(await refusal(world.preview("v3"))).toBe("ref_unknown");
    expect(await refusal(world.preview("v4"))).toBe("ref_unknown");
  });
});

describe("links stay inside the release", () => {
  test.each([
    ["an absolute link", { l: { link: "/etc/passwd" } }],
    ["a link above the release", { l: { link: "../x" } }],
    ["a link above it from below", { "a/b/l": { link: "../../../x" } }],
    [
      "a link through a directory that is a link",
      { d: { link: "a/b" }, "a/b/c": "x", l: { link: "d/../../../x" } },
    ],
    [
      "a chain that leaves at its end",
      { l1: { link: "l2" }, l2: { link: "l3" }, l3: { link: ".." }, l4: { link: "l3/x" } },
    ],
    ["a circle", { l1: { link: "l2" }, l2: { link: "l1" } }],
    ["a link to itself", { l: { link: "l/x" } }],
    ["a link with a backslash", { l: { link: "..\\..\\x" } }],
    ["a link with a newline", { l: { link: "a\nb" } }],
  ] as const)("%s is refused", async (_, files) => {
    world.source.commit({ "a.txt": "a\n", ...files });
    expect(["symlink_refused", "source_rejected"]).toContain(await refusal(world.preview()));
  });

  test("links that stay inside are deployed as links: chains, parents, the root itself, one that dangles", async () => {
    const files = {
      "a/b/c.txt": "c\n",
      l1: { link: "a/b/c.txt" },
      "a/up": { link: "../l1" },
      "a/b/top": { link: "../.." },
      dir: { link: "a/b" },
      deep: { link: "dir/top/a/b/c.txt" },
      dangling: { link: "a/none" },
      dot: { link: "./a/./b//c.txt" },
    };
    world.source.commit(files);
    const { preview } = await world.deploy();
    expect(preview.view.warnings.map((one) => one.code)).toContain("symlinks");
    for (const link of ["l1", "a/up", "dir/c.txt", "deep", "dot"]) expect(world.served(link)).toBe("c\n");
  });
});

describe("submodules, huge trees and slow sources are refused", () => {
  test("a submodule", async () => {
    const inner = makeGitSource(world.dir);
    const commit = inner.commit({ x: "x" });
    world.source.commit({
      ".gitmodules": `[submodule "x"]\n\tpath = x\n\turl = ../inner\n\tupdate = none\n`,
    });
    world.source.git("update-index", "--add", "--cacheinfo", `160000,${commit},x`);
    world.source.git("commit", "-q", "-m", "submodule");
    expect(await refusal(world.preview())).toBe("submodule_refused");
  });

  test("a hundred thousand files", async () => {
    const blob = writeBlob(world.source, "x");
    const lines = Array.from(
      { length: 100_000 },
      (_, i) => `100644 blob ${blob}\tf${String(i).padStart(6, "0")}`,
    ).join("\n");
    commitTree(world.source, world.source.gitWith(`${lines}\n`, "mktree"));
    const started = performance.now();
    expect(await refusal(world.preview())).toBe("tree_too_large");
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  test("a small repository that names ten thousand million files by repeating a subtree", async () => {
    const blob = writeBlob(world.source, "x");
    let tree = world.source.gitWith(
      Array.from({ length: 10 }, (_, i) => `100644 blob ${blob}\tf${i}\n`).join(""),
      "mktree",
    );
    for (let level = 0; level < 10; level += 1) {
      const inner = tree;
      tree = world.source.gitWith(
        Array.from({ length: 10 }, (_, i) => `040000 tree ${inner}\td${i}\n`).join(""),
        "mktree",
      );
    }
    commitTree(world.source, tree);
    const started = performance.now();
    expect(await refusal(world.preview())).toBe("tree_too_large");
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  test("a tree deeper than any real one, and one of empty trees only", async () => {
    let tree = writeRawTree(world.source, []);
    for (let i = 0; i < 100; i += 1) tree = world.source.gitWith(`040000 tree ${tree}\td\n`, "mktree");
    commitTree(world.source, tree);
    expect(await refusal(world.preview())).toBe("tree_too_large");
  });

  test("a file, a tree or a repository above its cap", async () => {
    const noise = Buffer.from(
      Array.from({ length: 400_000 }, (_, i) => (i * 7919 + (i >> 3) * 104729) & 255),
    );
    world.source.commit({ big: noise, "a.txt": "a\n" });
    const limited = (limits: object) => world.preview("main", world.tool({ limits }));
    expect(await refusal(limited({ fileBytes: 100_000 }))).toBe("file_too_large");
    expect(await refusal(limited({ treeBytes: 100_000 }))).toBe("tree_too_large");
    expect(await refusal(limited({ entries: 1 }))).toBe("tree_too_large");
    expect((await limited({})).view.complete).toBe(true);
  });

  test("a source that sends more than the mirror may hold is cut off, and a later preview still works", async () => {
    world.source.commit({ "a.txt": "a\n" });
    const { randomBytes } = await import("node:crypto");
    world.source.git("checkout", "-q", "-b", "release/huge");
    for (let i = 0; i < 6; i += 1)
      writeFileSync(join(world.source.dir, `noise${i}`), randomBytes(20 * 1024 * 1024));
    world.source.commit({});
    const small = world.tool({ limits: { mirrorBytes: 2 * 1024 * 1024 } });
    for (let i = 0; i < 2; i += 1) {
      expect(await refusal(small.preview({ service: "web", ref: "release/huge" }, world.context()))).toBe(
        "source_too_large",
      );
      expect((await small.preview({ service: "web", ref: "main" }, world.context())).view.complete).toBe(
        true,
      );
    }
    expect(snapshotDirectory(join(world.stateDir, "mirrors/web.git/objects"))).not.toContain("tmp_");
  });

  test("a source that never answers", async () => {
    world.source.commit({ "a.txt": "a\n" });
    rmSync(join(world.source.dir, ".git/HEAD"));
    execFileSync("mkfifo", [join(world.source.dir, ".git/HEAD")]);
    const started = performance.now();
    expect(await refusal(world.preview("main", world.tool({ limits: { gitTimeoutMs: 1_500 } })))).toBe(
      "source_slow",
    );
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test("no source at all, one that is a file, one that is cut off, one that is shallow", async () => {
    const shallow = join(world.dir, "shallow");
    world.source.commit({ "a.txt": "a\n" });
    world.source.commit({ "a.txt": "b\n" });
    execFileSync("git", ["clone", "-q", "--depth=1", `file://${world.source.dir}`, shallow]);
    const at = async (repository: string): Promise<string> => {
      world.entry = { ...world.entry, repository };
      return refusal(world.preview());
    };
    writeFileSync(join(world.dir, "file"), "x");
    expect(await at(join(world.dir, "none"))).toBe("source_unreachable");
    expect(await at(join(world.dir, "file"))).toBe("source_unreachable");
    expect(await at(shallow)).toBe("source_rejected");
    writeFileSync(join(world.source.dir, ".git/HEAD"), "nonsense");
    expect(await at(world.source.dir)).toBe("source_unreachable");
  });
});

test("a release directory that is a link, or that others can write, is refused", async () => {
  world.source.commit({ "a.txt": "a\n" });
  symlinkSync(world.root, join(world.dir, "link"));
  world.entry = { ...world.entry, releases: join(world.dir, "link") };
  expect(await refusal(world.preview())).toBe("releases_unsafe");
  world.entry = { ...world.entry, releases: world.root };
  chmodSync(world.root, 0o777);
  expect(await refusal(world.preview())).toBe("releases_unsafe");
  chmodSync(world.root, 0o755);
  mkdirSync(join(world.dir, "elsewhere"));
  symlinkSync(join(world.dir, "elsewhere"), join(world.root, "releases"));
  expect(await refusal(world.preview())).toBe("releases_unsafe");
  rmSync(join(world.root, "releases"));
  for (const target of [
    "/etc",
    "../elsewhere",
    "releases/../../elsewhere",
    "releases/a/b",
    "releases/..",
    ".",
  ]) {
    symlinkSync(target, join(world.root, "current"));
    expect(await refusal(world.preview())).toBe("current_unmanaged");
    rmSync(join(world.root, "current"));
  }
  mkdirSync(join(world.root, "current"));
  expect(await refusal(world.preview())).toBe("current_unmanaged");
});
