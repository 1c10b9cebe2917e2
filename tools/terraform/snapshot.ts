import { inflateRawSync } from "node:zlib";
import { readBlocks, readJsonBlocks } from "./hcl-blocks.ts";
import { UnreadableText } from "./hcl-tokens.ts";
import { scanBody, type Finding } from "./scan.ts";

// A saved plan is a zip file that holds the configuration it was made from. That copy is what runs at apply, so that is
// where provisioners are looked for: one in a `removed` block stands in neither the plan's text nor its JSON.

const MAX_MEMBER = 16 * 1024 * 1024;
const MAX_MEMBERS = 10_000;

/** Members of a zip file by name (APPNOTE 6.3.9: stored or deflated, no encryption, one disk). */
export function readZip(bytes: Buffer): ReadonlyMap<string, () => Buffer> {
  const end = bytes.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  if (end < 0 || end + 22 > bytes.length) throw new Error("no zip file");
  const count = bytes.readUInt16LE(end + 10);
  if (count > MAX_MEMBERS) throw new Error("too many members");
  const members = new Map<string, () => Buffer>();
  let at = bytes.readUInt32LE(end + 16);
  for (let i = 0; i < count; i += 1) {
    if (bytes.readUInt32LE(at) !== 0x02014b50) throw new Error("a damaged zip file");
    const method = bytes.readUInt16LE(at + 10);
    const packed = bytes.readUInt32LE(at + 20);
    const size = bytes.readUInt32LE(at + 24);
    const nameLength = bytes.readUInt16LE(at + 28);
    const skip = bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
    const local = bytes.readUInt32LE(at + 42);
    const name = bytes.toString("utf8", at + 46, at + 46 + nameLength);
    if (members.has(name)) throw new Error("two members of one name");
    members.set(name, () => {
      if (size > MAX_MEMBER || (method !== 0 && method !== 8)) throw new Error(`${name}: not read`);
      const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
      const data = bytes.subarray(start, start + packed);
      const out = method === 0 ? data : inflateRawSync(data, { maxOutputLength: MAX_MEMBER });
      if (out.length !== size) throw new Error(`${name}: a damaged member`);
      return out;
    });
    at += 46 + nameLength + skip;
  }
  return members;
}

export interface Provisioner {
  readonly type: string;
  /** `resource terraform_data web`, `removed`. */
  readonly where: string;
  readonly file: string;
  readonly line: number;
  /** The block as it is written, to be shown. */
  readonly source: string;
}

export interface PlanSnapshot {
  /** Prior state that the plan stands on. */
  readonly lineage: string;
  readonly serial: number;
  readonly provisioners: readonly Provisioner[];
  /** Everything else that a configuration may hold only where it is allowed. */
  readonly findings: readonly Finding[];
  /** Text of the dependency lock file that the plan was made with. */
  readonly lockFile: string;
}

/** What a saved plan carries besides the plan. @throws Error where it is no plan that can be read whole */
export function readPlanSnapshot(bytes: Buffer): PlanSnapshot {
  const members = readZip(bytes);
  const state = JSON.parse(members.get("tfstate")?.().toString("utf8") ?? "null") as {
    lineage?: unknown;
    serial?: unknown;
  } | null;
  if (typeof state?.lineage !== "string" || typeof state.serial !== "number")
    throw new Error("no prior state");
  const provisioners: Provisioner[] = [];
  const findings: Finding[] = [];
  for (const [name, read] of members) {
    const found = /^tfconfig\/m-([^/]*)\/(.*\.(?:tf|tofu)(\.json)?)$/s.exec(name);
    if (found === null) continue;
    const text = read().toString("utf8");
    const file = found[1] === "" ? (found[2] ?? name) : `${found[1]}/${found[2]}`;
    // Ours; everything else was scanned before, and here again as what will run.
    try {
      const body = found[3] === undefined ? readBlocks(text) : readJsonBlocks(text, file);
      for (const one of scanBody(body, false).findings) {
        if (one.what === "provisioners") {
          provisioners.push({
            ...whereOf(one.words),
            file,
            line: one.line,
            source: found[3] === undefined ? blockText(text, one.line) : "",
          });
        } else findings.push({ ...one, file });
      }
    } catch (error) {
      if (!(error instanceof UnreadableText)) throw error;
      findings.push({ what: "unreadable", file, line: error.line, words: error.message });
    }
  }
  return {
    lineage: state.lineage,
    serial: state.serial,
    provisioners,
    findings,
    lockFile: members.get(".terraform.lock.hcl")?.().toString("utf8") ?? "",
  };
}

function whereOf(words: string): { readonly type: string; readonly where: string } {
  const found = /^provisioner "(.*?)" in (.*)$/s.exec(words);
  return { type: found?.[1] ?? "", where: found?.[2] ?? "" };
}

/** The lines of a block: up to the one at which its braces are closed again, as far as can be shown. */
function blockText(text: string, line: number): string {
  const lines = text.split("\n").slice(line - 1, line + 39);
  let depth = 0;
  const taken: string[] = [];
  for (const one of lines) {
    taken.push(one);
    depth += (one.match(/\{/g)?.length ?? 0) - (one.match(/\}/g)?.length ?? 0);
    if (depth <= 0) return taken.join("\n");
  }
  return `${taken.join("\n")}\n…`;
}
