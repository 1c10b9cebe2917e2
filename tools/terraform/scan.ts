import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { readBlocks, readJsonBlocks, type Block, type Body } from "./hcl-blocks.ts";
import { afterNewlines, literalText, UnreadableText, type Token } from "./hcl-tokens.ts";
import type { External } from "./externals.ts";
import { fileFindings, type FileRoots } from "./scan-files.ts";

// What a configuration would run or read while it is only being planned (P5). The boundary is which providers can be
// installed at all; this reading comes second, and finds what terraform itself and allowed providers bring along. It
// reads the configuration before terraform does. Of two readings of a doubtful text the stricter one counts.

export interface Finding {
  readonly what: External | "cloud" | "backend" | "unreadable" | "state_in_repository";
  /** Relative to the checkout. */
  readonly file: string;
  readonly line: number;
  readonly words: string;
}

export interface Scanned {
  readonly findings: readonly Finding[];
  /** Sources under `required_providers`, as written: `hashicorp/aws`. */
  readonly providers: readonly string[];
}

/** The file by which the operator's backend is laid over the configuration. */
export const OVERRIDE = "countersign_override.tf.json";

const MAX_FILES = 5_000;
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const CONFIG = /\.(?:tf|tofu)(\.json)?$/;
/** What terraform does not read: hidden files, and what editors leave behind. */
const IGNORED = /^\.|~$|^#.*#$/;

/**
 * Reads the configuration in a directory of a checkout, and in every local module that it uses.
 * @param modules directories of modules that terraform has installed from elsewhere
 */
export async function scanConfiguration(
  checkout: string,
  directory: string,
  modules: readonly string[] = [],
): Promise<Scanned> {
  const root = await realpath(checkout);
  const work = await realpath(join(root, directory));
  const findings: Finding[] = [];
  const providers = new Set<string>();
  const seen = new Set<string>();
  const todo: string[] = [work, ...(await Promise.all(modules.map((dir) => realpath(dir))))];
  let files = 0;

  for (let dir = todo.shift(); dir !== undefined; dir = todo.shift()) {
    if (seen.has(dir)) continue;
    seen.add(dir);
    for (const name of (await readdir(dir)).sort()) {
      if (dir === work && /^terraform\.tfstate/.test(name)) {
        findings.push({
          what: "state_in_repository",
          file: show(root, join(dir, name)),
          line: 1,
          words: "a state file",
        });
      }
      const config = CONFIG.exec(name);
      if (config === null || IGNORED.test(name)) continue;
      // The gateway's own, laid over the rest; a commit that brings one of that name was refused.
      if (dir === work && name === OVERRIDE) continue;
      const path = join(dir, name);
      const file = show(root, path);
      files += 1;
      const body = files > MAX_FILES ? tooMuch() : await readBody(path, file, config[1] !== undefined);
      if (body instanceof UnreadableText) {
        findings.push({ what: "unreadable", file, line: body.line, words: body.message });
        if (files > MAX_FILES) return { findings, providers: [...providers] };
        continue;
      }
      const isOverride = /(?:^|_)override\.(?:tf|tofu)(?:\.json)?$/.test(name);
      const roots: FileRoots = { root: moduleRoot(root, modules, dir), module: dir, work };
      const found = scanBody(body, isOverride);
      for (const one of found.findings) findings.push({ ...one, file });
      for (const one of await fileFindings(body, roots)) findings.push({ what: "files", file, ...one });
      for (const source of found.providers) providers.add(source);
      for (const { source, line } of found.modules) {
        if (source === undefined)
          findings.push({ what: "unreadable", file, line, words: "a module without a literal source" });
        else if (/^\.\.?(?:\/|$)/.test(source)) {
          const next = await localModule(roots.root, dir, source);
          if (next === undefined)
            findings.push({
              what: "files",
              file,
              line,
              words: `the module ${source} is not in the repository`,
            });
          else todo.push(next);
        } else
          findings.push({ what: "modules", file, line, words: `the module ${source} comes from elsewhere` });
      }
    }
  }
  return { findings, providers: [...providers].sort() };
}

const show = (root: string, path: string): string => relative(root, path);

const tooMuch = (): UnreadableText => new UnreadableText(1, `more than ${MAX_FILES} files`);

const moduleRoot = (root: string, modules: readonly string[], dir: string): string =>
  dir === root || dir.startsWith(`${root}/`) ? root : (modules.find((one) => dir.startsWith(one)) ?? dir);

async function readBody(path: string, file: string, isJson: boolean): Promise<Body | UnreadableText> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) return new UnreadableText(1, `more than ${MAX_FILE_BYTES} bytes`);
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readFile(path));
    return isJson ? readJsonBlocks(text, file) : readBlocks(text);
  } catch (error) {
    if (error instanceof UnreadableText) return error;
    return new UnreadableText(1, "a file that cannot be read as text");
  }
}

/** Undefined where it leaves the repository, or is not there. */
async function localModule(root: string, dir: string, source: string): Promise<string | undefined> {
  const found = await realpath(join(dir, source)).catch(() => undefined);
  if (found === undefined) return undefined;
  return found === root || found.startsWith(`${root}/`) ? found : undefined;
}

interface ScannedBody {
  readonly findings: Omit<Finding, "file">[];
  readonly providers: string[];
  readonly modules: { readonly source: string | undefined; readonly line: number }[];
}

/** What stands in one file, or in one block of it. */
export function scanBody(body: Body, isOverride: boolean): ScannedBody {
  const found: ScannedBody = { findings: [], providers: [], modules: [] };
  const add = (what: Finding["what"], line: number, words: string): void =>
    void found.findings.push({ what, line, words });
  for (const block of body.blocks) {
    const label = block.labels[0] ?? "";
    if (!KNOWN_BLOCKS.has(block.type))
      add("unreadable", block.line, `a block of a kind that is not known here: ${block.type}`);
    if (block.type === "terraform") scanTerraform(block, isOverride, found);
    if (/^(?:data|ephemeral)$/.test(block.type) && (label === "external" || label === "http")) {
      add("data", block.line, `${block.type} "${label}" runs while planning`);
    }
    if (block.type === "data" && label === "terraform_remote_state") {
      add("state", block.line, "terraform_remote_state reads another state");
    }
    if (block.type === "module") {
      const source = block.attributes.filter((one) => one.name === "source");
      found.modules.push({
        source: only(source)?.value.length === 1 ? literalText(only(source)?.value[0]) : undefined,
        line: block.line,
      });
    }
    if (block.type === "provider") scanProvider(block, add);
    else scanNested(block, add);
  }
  return found;
}

// What a newer terraform may add could run while planning, or apply what no plan that is read here shows.
const KNOWN_BLOCKS: ReadonlySet<string> = new Set(
  "terraform provider resource data ephemeral module variable output locals moved removed import check".split(
    " ",
  ),
);

const only = <T>(list: readonly T[]): T | undefined => (list.length === 1 ? list[0] : undefined);

type Add = (what: Finding["what"], line: number, words: string) => void;

function scanTerraform(block: Block, isOverride: boolean, found: ScannedBody): void {
  const add: Add = (what, line, words) => void found.findings.push({ what, line, words });
  for (const nested of block.blocks) {
    switch (nested.type) {
      case "required_providers":
        for (const { value } of nested.attributes) found.providers.push(...sourcesOf(value));
        break;
      case "backend":
        // The operator's backend is laid over it, unless an override that comes after ours says otherwise.
        if (isOverride) add("backend", nested.line, "a backend in an override file");
        break;
      case "cloud":
        add("cloud", nested.line, "a cloud block: the plan would be made elsewhere");
        break;
      case "provider_meta":
        break;
      default:
        // A JSON attribute with an object is here as a block, too.
        if (!block.attributes.some((one) => one.name === nested.type)) {
          add("backend", nested.line, `terraform { ${nested.type} } is not known here`);
        }
    }
  }
  for (const { name, line } of block.attributes) {
    if (/^(?:cloud|backend|state_store)$/.test(name) && !block.blocks.some((one) => one.type === name)) {
      add("backend", line, `terraform { ${name} = … }`);
    }
    if (name === "state_store") add("backend", line, "a state store");
  }
}

/** `source` of `{ source = "hashicorp/aws" }`, in both syntaxes. */
function sourcesOf(value: readonly Token[]): string[] {
  const sources: string[] = [];
  value.forEach((token, i) => {
    const name = token.kind === "word" ? token.text : literalText(token);
    if (name !== "source") return;
    const next = value[i + 1]?.kind === "mark" ? value[i + 2] : value[i + 1];
    const source = literalText(next);
    if (source !== undefined) sources.push(source);
  });
  return sources;
}

// Some providers take a command to run for their credentials, or a file that names one (AWS profiles and kubeconfigs do),
// or the options of a program that they run.
const RUNS =
  /^(?:exec|command|credential_process|credentials_command|shared_(?:config|credentials)_files?|config_paths?|ssh_opts)$/;

function scanProvider(block: Body & { readonly line: number }, add: Add): void {
  const found = (name: string, line: number): void =>
    add("programs", line, `provider { ${name} } may run a program while planning`);
  for (const { name, value, line } of block.attributes) {
    if (RUNS.test(name)) found(name, line);
    for (const key of keysIn(value)) if (RUNS.test(key.name)) found(key.name, key.line);
  }
  for (const nested of block.blocks) {
    if (RUNS.test(nested.type)) found(nested.type, nested.line);
    if (nested.type === "dynamic" && RUNS.test(nested.labels[0] ?? ""))
      found(nested.labels[0] ?? "", nested.line);
    scanProvider(nested, add);
  }
}

/** Names of members of objects in an expression: a newer plugin takes `kubernetes = { exec = { … } }` for the block. */
function keysIn(value: readonly Token[]): { readonly name: string; readonly line: number }[] {
  return value.flatMap((token, i) => {
    const after = value[afterNewlines(value, i + 1)];
    const inBrackets = after?.kind === "mark" && after.text === ")";
    const isKey = after?.kind === "mark" && (after.text === "=" || after.text === ":" || inBrackets);
    const name = token.kind === "word" ? token.text : literalText(token);
    return isKey && name !== undefined ? [{ name, line: token.line }] : [];
  });
}

/** Provisioners at any depth: in resources, and in `removed` blocks, where neither plan nor JSON show them. */
function scanNested(block: Block, add: Add): void {
  for (const nested of block.blocks) {
    if (nested.type === "provisioner" || (nested.type === "dynamic" && nested.labels[0] === "provisioner")) {
      add(
        "provisioners",
        nested.line,
        `provisioner "${nested.labels[0] ?? ""}" in ${[block.type, ...block.labels].join(" ")}`,
      );
    }
    if (nested.type === "data") {
      // In a `check` block.
      const label = nested.labels[0] ?? "";
      if (label === "external" || label === "http")
        add("data", nested.line, `data "${label}" runs while planning`);
      if (label === "terraform_remote_state")
        add("state", nested.line, "terraform_remote_state reads another state");
    }
    scanNested(nested, add);
  }
}
