import { readdirSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";

// Does every link of the docs lead somewhere, and do they say nothing that is true on one machine only?

const root = join(import.meta.dirname, "../..");

interface Page {
  /** Relative to the repository. */
  readonly path: string;
  readonly text: string;
  /** Without code, where brackets aren't links. */
  readonly prose: string;
  readonly anchors: ReadonlySet<string>;
}

let pages: ReadonlyMap<string, Page>;

beforeAll(async () => {
  const paths = await markdownBelow(root, true);
  pages = new Map(
    await Promise.all(
      paths.map(async (path): Promise<[string, Page]> => {
        const text = await readFile(join(root, path), "utf8");
        const withoutFences = text.replaceAll(/^```[\s\S]*?^```$/gm, "");
        return [
          path,
          {
            path,
            text,
            prose: withoutFences.replaceAll(/`[^`\n]*`/g, ""),
            anchors: anchorsOf(withoutFences),
          },
        ];
      }),
    ),
  );
});

const SKIPPED = new Set(["node_modules", "dist", "coverage", "golden", "corpus", "vectors"]);

async function markdownBelow(dir: string, isTop: boolean): Promise<readonly string[]> {
  const found: string[] = [];
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.name.startsWith(".") || SKIPPED.has(entry.name)) continue;
    const path = join(dir, entry.name);
    if (entry.isFile() && entry.name.endsWith(".md")) found.push(relative(root, path));
    else if (entry.isDirectory() && !(isTop && entry.name === "src"))
      found.push(...(await markdownBelow(path, false)));
  }
  return found;
}

/** Anchors as GitHub makes them: lower case, no punctuation, blanks to dashes, repeats numbered. */
function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of text.matchAll(/^#{1,6} +(.+)$/gm)) {
    const slug = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
    let anchor = slug;
    for (let i = 1; anchors.has(anchor); i += 1) anchor = `${slug}-${i}`;
    anchors.add(anchor);
  }
  return anchors;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Links of all pages: `[words](target)`. */
const links = (): readonly { readonly page: Page; readonly target: string }[] =>
  [...pages.values()].flatMap((page) =>
    [...page.prose.matchAll(/\]\(([^)\s]+)\)/g)].map((link) => ({ page, target: link[1] ?? "" })),
  );

const isRelative = (target: string): boolean => !/^[a-z]+:/.test(target);

describe("the docs", () => {
  test("are found, with their links", () => {
    expect([...pages.keys()]).toEqual(
      expect.arrayContaining(["README.md", "docs/architecture.md", "docs/errors.md"]),
    );
    expect(links().filter(({ target }) => isRelative(target)).length).toBeGreaterThan(30);
  });

  test("link to files that exist", async () => {
    const dead: string[] = [];
    for (const { page, target } of links().filter((link) => isRelative(link.target))) {
      const [path = ""] = target.split("#");
      if (path !== "" && !(await exists(resolve(root, dirname(page.path), path))))
        dead.push(`${page.path}: ${target}`);
    }
    expect(dead).toEqual([]);
  });

  test("link to headings that exist", () => {
    const dead: string[] = [];
    for (const { page, target } of links().filter((link) => isRelative(link.target))) {
      const [path = "", anchor] = target.split("#");
      const to = path === "" ? page : pages.get(relative(root, resolve(root, dirname(page.path), path)));
      if (anchor !== undefined && to !== undefined && !to.anchors.has(anchor))
        dead.push(`${page.path}: ${target}`);
    }
    expect(dead).toEqual([]);
  });

  test("name no path of the machine they were written on", () => {
    const here = [root, homedir()].filter((path) => path !== "/").map((path) => `${path}/`);
    const elsewhere = /(?<![\w./-])\/(?:work|root|Users|home)\/[a-z]/;
    const found = [...pages.values()].filter(
      ({ text }) => here.some((path) => text.includes(path)) || elsewhere.test(text),
    );
    expect(found.map((page) => page.path)).toEqual([]);
  });

  test("name no host of a package registry", () => {
    const hosts = /\b(?:registry|deb|pypi|proxy|security|ftp)\.[a-z0-9-]+\.[a-z]{2,}\b/i;
    expect([...pages.values()].filter(({ text }) => hosts.test(text)).map((page) => page.path)).toEqual([]);
  });

  test("say no command that countersign doesn't have", () => {
    const found = [...pages.values()].flatMap(({ path, text }) =>
      [...text.matchAll(/(?:`|\$ |&& )countersign(?: --home \S+)? ([a-z][a-z-]*(?: [a-z][a-z-]*)?)/gm)]
        .map((match) => match[1] ?? "")
        .filter((words) => !isCommand(words))
        .map((words) => `${path}: countersign ${words}`),
    );
    expect(found).toEqual([]);
  });
});

test("the command that the README gives for testing is what .ci/run runs", async () => {
  const readme = pages.get("README.md")?.text ?? "";
  const ci = await readFile(join(root, ".ci/run"), "utf8");
  expect(readme).toContain("`npm ci && npm test`");
  expect(ci).toMatch(/^step \w+ \d+ npm ci$/m);
  expect(ci).toMatch(/^step \w+ \d+ npm test$/m);
});

/** Every command has a golden of its help: `log-verify.txt`. */
const COMMANDS = new Set(
  readdirSync(join(root, "test/cli/golden/help")).map((file) => file.replace(/\.txt$/, "")),
);

function isCommand(words: string): boolean {
  const [first = "", second] = words.split(" ");
  const hasCommandsBelow = [...COMMANDS].some((name) => name.startsWith(`${first}-`));
  return COMMANDS.has(hasCommandsBelow && second !== undefined ? `${first}-${second}` : first);
}
