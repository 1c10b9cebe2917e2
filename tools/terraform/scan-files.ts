import { readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Body } from "./hcl-blocks.ts";
import { afterNewlines, readTemplate, UnreadableText, type TemplatePart, type Token } from "./hcl-tokens.ts";

// Functions that read files of the machine on which terraform runs: the gateway's own. They may read the repository,
// named so that it can be seen here; anything else could show a key or another tenant's state in a plan.

export interface FileRoots {
  /** What may be read: the checkout, or a module that was installed. All of these are real paths. */
  readonly root: string;
  /** Directory of the file: `path.module`. */
  readonly module: string;
  /** Working directory: `path.root`, `path.cwd`, and what a relative path starts from. */
  readonly work: string;
}

export interface FileFinding {
  readonly line: number;
  readonly words: string;
}

const READERS =
  /^(?:file|filebase64|filebase64sha256|filebase64sha512|filemd5|filesha1|filesha256|filesha512|fileexists|fileset|templatefile|templatestring)$/;

/** Every call of such a function that could leave the repository, or whose reach can't be seen. */
export async function fileFindings(body: Body, roots: FileRoots): Promise<readonly FileFinding[]> {
  const findings: FileFinding[] = [];
  const templates = new Set<string>();

  const callsIn = async (tokens: readonly Token[]): Promise<void> => {
    for (const [i, token] of tokens.entries()) {
      if (token.kind === "text") await partsOf(token.parts);
      if (token.kind !== "word" || !READERS.test(token.text)) continue;
      // Between brackets a line may end anywhere, also between a name and what it is called with.
      const bracket = afterNewlines(tokens, i + 1);
      const next = tokens[bracket];
      if (next?.kind !== "mark" || next.text !== "(") continue;
      const before = tokens[i - 1];
      if (before?.kind === "mark" && before.text === ".") continue;
      const problem = await callProblem(token.text, args(tokens, bracket + 1));
      if (problem !== undefined) findings.push({ line: token.line, words: `${token.text}(): ${problem}` });
    }
  };
  const partsOf = async (parts: readonly TemplatePart[]): Promise<void> => {
    for (const part of parts) if (typeof part !== "string") await callsIn(part);
  };

  const callProblem = async (
    name: string,
    [first, second]: readonly (readonly Token[])[],
  ): Promise<string | undefined> => {
    if (name === "templatestring") return "a template that is made while planning";
    const path = first === undefined ? undefined : pathOf(first, roots);
    if (path === undefined) return 'a path of the form "${path.module}/name" is expected';
    const inside = await insideOf(roots.root, path.base, path.tail);
    if (inside === undefined) return "it leaves the repository";
    if (name === "fileset") {
      const pattern = second === undefined ? undefined : textOf(second);
      return pattern !== undefined && !pattern.split("/").includes("..")
        ? undefined
        : "a pattern that is text, without .., is expected";
    }
    if (name === "templatefile" && !templates.has(inside)) {
      templates.add(inside);
      await readOne(inside);
    }
    return undefined;
  };

  // A template may call these functions, too.
  const readOne = async (path: string): Promise<void> => {
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readFile(path));
      await partsOf(readTemplate(text));
    } catch (error) {
      const line = error instanceof UnreadableText ? error.line : 1;
      findings.push({ line, words: "templatefile(): a template that cannot be read" });
    }
  };

  const walk = async (at: Body): Promise<void> => {
    for (const { value } of at.attributes) await callsIn(value);
    for (const block of at.blocks) await walk(block);
  };
  await walk(body);
  return findings;
}

/** The arguments of a call, from behind its opening bracket. */
function args(tokens: readonly Token[], from: number): readonly (readonly Token[])[] {
  const found: Token[][] = [[]];
  let depth = 0;
  for (let i = from; i < tokens.length; i += 1) {
    const token = tokens[i] as Token;
    if (token.kind === "newline") continue;
    if (token.kind === "mark") {
      if (depth === 0 && token.text === ")") break;
      if ("([{".includes(token.text)) depth += 1;
      if (")]}".includes(token.text)) depth -= 1;
      if (depth === 0 && token.text === ",") {
        found.push([]);
        continue;
      }
    }
    found.at(-1)?.push(token);
  }
  return found;
}

function textOf(tokens: readonly Token[]): string | undefined {
  const token = tokens.length === 1 ? tokens[0] : undefined;
  if (token?.kind !== "text" || token.parts.length > 1) return undefined;
  const [part = ""] = token.parts;
  return typeof part === "string" ? part : undefined;
}

/** Where an argument points: `path.module`, `"${path.module}/a/b"` or `"a/b"`; undefined for anything else. */
function pathOf(
  tokens: readonly Token[],
  roots: FileRoots,
): { readonly base: string; readonly tail: string } | undefined {
  const bare = baseOf(tokens, roots);
  if (bare !== undefined) return { base: bare, tail: "" };
  const token = tokens.length === 1 ? tokens[0] : undefined;
  if (token?.kind !== "text") return undefined;
  const [first, second, ...more] = token.parts;
  if (more.length > 0) return undefined;
  if (typeof first === "string") {
    return second === undefined && !/^[/~\\]/.test(first) ? { base: roots.work, tail: first } : undefined;
  }
  const base = first === undefined ? undefined : baseOf(first, roots);
  if (base === undefined || (second !== undefined && typeof second !== "string")) return undefined;
  return second === undefined || second.startsWith("/")
    ? { base, tail: (second ?? "").replace(/^\/+/, "") }
    : undefined;
}

function baseOf(tokens: readonly Token[], roots: FileRoots): string | undefined {
  const words = tokens.filter((token) => token.kind !== "newline");
  const text = words
    .map((token) => (token.kind === "word" || token.kind === "mark" ? token.text : "?"))
    .join(" ");
  if (text === "path . module") return roots.module;
  return text === "path . root" || text === "path . cwd" ? roots.work : undefined;
}

/** The real path, if it lies in the repository. `..` only at the beginning: behind a link it would mean something else. */
async function insideOf(root: string, base: string, tail: string): Promise<string | undefined> {
  const steps = tail.split("/").filter((step) => step !== "" && step !== ".");
  const down = steps.slice(steps.findIndex((step) => step !== ".."));
  if (steps.some((step) => step !== "..") && down.includes("..")) return undefined;
  const path = join(base, ...steps);
  const isIn = (at: string): boolean => at === root || at.startsWith(`${root}/`);
  if (!isIn(path)) return undefined;
  const real = await realpath(path).catch(() => path);
  return isIn(real) ? real : undefined;
}
