import { canonicalJson } from "../base/canonical-json.ts";
import { digestBytes, type Digest } from "../base/digest.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { ENTRY_KINDS, type Entry } from "./entry.ts";
import { finding, type Finding } from "./finding.ts";
import { currentKey, extendChain, openWithChain, startChain, type KeyChain } from "./key-chain.ts";
import { fromHex, leafHash, type TreeHash } from "./merkle.ts";
import { verifyConsistency, verifyInclusion } from "./merkle-proof.ts";
import { isRevision, readPolicyPeople, type PolicyPeople } from "./policy-document.ts";
import { parseReceipt, type Receipt } from "./receipt.ts";
import { summarise, type ReceiptSummary, type VerifiedDecision } from "./verify-summary.ts";
import { createHeadReader } from "./verify-head.ts";
import { createOrderCheck, type Step } from "./verify-order.ts";

// Verifies a receipt on a machine that has nothing but the file and the log's public key.
//
// Order of trust: the pinned key signs the checkpoint; the checkpoint's root proves the lines; the lines name the
// question, the decisions and the policy revision; the revision proves the policy document; the document says whose
// key a decision was signed with.

export interface VerifyReceiptOptions {
  /** Verifier keys of logs that the reader trusts: without one a receipt proves nothing. */
  readonly trustedKeys: readonly string[];
}

export interface ReceiptReport {
  /** True where nothing was found but notices. */
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  /** Null where the receipt could not be read far enough. Shown values are proved only where `ok`. */
  readonly summary: ReceiptSummary | null;
}

export function verifyReceipt(receipt: string | Receipt, options: VerifyReceiptOptions): ReceiptReport {
  const findings: Finding[] = [];
  const found = (...args: Parameters<typeof finding>): void => void findings.push(finding(...args));
  const report = (summary: ReceiptSummary | null): ReceiptReport => ({
    ok: findings.every(({ severity }) => severity === "notice"),
    findings,
    summary,
  });

  const parsed = parseReceipt(typeof receipt === "string" ? receipt : JSON.stringify(receipt));
  if (!parsed.ok) {
    found("receipt_malformed", { message: parsed.error });
    return report(null);
  }
  const keys = checkKeys(parsed.value, options.trustedKeys, found);
  const opened = keys === null ? null : openWithChain(parsed.value.checkpoint, keys);
  if (opened?.ok !== true) {
    if (opened !== null) found("checkpoint_invalid", { message: opened.error });
    return report(null);
  }
  const checkpoint = opened.value;
  if (parsed.value.isolation !== checkpoint.isolation) {
    found("checkpoint_invalid", { message: "the receipt names another isolation than its checkpoint" });
  }
  if (checkpoint.isolation === "none") found("isolation_none");
  const entries = checkEntries(parsed.value, checkpoint, found);
  if (findings.some(({ code }) => STOPS.has(code))) return report(null);
  return report(judge(parsed.value, checkpoint, keys ?? [], entries, found));
}

type Found = (...args: Parameters<typeof finding>) => void;

/** Nothing that follows means anything then. */
const STOPS = new Set(["receipt_malformed", "inclusion_invalid"]);

/**
 * The log's keys as the receipt's lines tell them, one of which has to be trusted. Each link is signed by both its keys;
 * that the lines stand in the log is checked with what the chain opens.
 */
function checkKeys(receipt: Receipt, trusted: readonly string[], found: Found): KeyChain | null {
  const { log, entries } = receipt;
  const started = startChain(log.key, log.id);
  if (!started.ok) {
    found("key_mismatch", { message: started.error });
    return null;
  }
  let keys = started.value;
  for (const { seq, line } of entries) {
    const entry = line.includes('"kind":"log.key_rotated"') ? parseEntry(line) : null;
    if (entry?.kind !== "log.key_rotated") continue;
    const extended = extendChain(keys, entry.data, seq);
    if (!extended.ok) {
      found("key_mismatch", { seq, message: `entry ${seq} replaces the key: ${extended.error}` });
      return null;
    }
    keys = extended.value.chain;
  }
  if (keys.some(({ key }) => trusted.includes(key.text))) return keys;
  const message =
    trusted.length === 0
      ? `no trusted key was given; the receipt's own is ${log.key}`
      : `the receipt is of the key ${log.key}, which is not trusted`;
  found("key_mismatch", { message });
  return null;
}

/** The entries whose lines are in the signed log, in order. */
function checkEntries(receipt: Receipt, checkpoint: Checkpoint, found: Found): readonly Entry[] {
  const root = rootOf(checkpoint.root);
  const head = createHeadReader();
  const kinds: ReadonlySet<string> = new Set(ENTRY_KINDS);
  const entries: Entry[] = [];
  let before = -1;
  for (const { seq, line, proof } of receipt.entries) {
    const bytes = Buffer.from(line);
    const hashes = proof.map((hex) => fromHex(hex) as TreeHash);
    if (seq <= before || !verifyInclusion(seq, checkpoint.size, leafHash(bytes), hashes, root)) {
      found("inclusion_invalid", { seq, message: `entry ${seq} is not in the log that was signed` });
      continue;
    }
    before = seq;
    // The head as the format fixes it, and the same members as JSON: a line that says both must say the same.
    if (!head.read(bytes, 0, bytes.length) || head.seq !== seq) {
      found("malformed_entry", { seq, message: `entry ${seq} does not have the form of an entry` });
      continue;
    }
    if (head.version !== 1 || !kinds.has(head.kindText())) {
      found("unknown_kind", { seq, message: `an entry ${head.kindText()} of version ${head.version}` });
      continue;
    }
    const entry = parseEntry(line);
    if (
      entry?.seq !== seq ||
      entry.kind !== head.kindText() ||
      entry.subject !== head.subject() ||
      entry.policy !== head.policy() ||
      entry.time !== head.time()
    ) {
      found("malformed_entry", {
        seq,
        message: `entry ${seq} says one thing at its start and another in its JSON`,
      });
    } else entries.push(entry);
  }
  return entries;
}

function parseEntry(line: string): Entry | null {
  try {
    const value = JSON.parse(line) as Entry;
    return typeof value.data === "object" && value.data !== null ? value : null;
  } catch {
    return null;
  }
}

function judge(
  receipt: Receipt,
  checkpoint: Checkpoint,
  keys: KeyChain,
  entries: readonly Entry[],
  found: Found,
): ReceiptSummary | null {
  const opened = entries.find(({ seq }) => seq === 0);
  if (opened?.kind !== "log.opened")
    found("incomplete", { message: "entry 0, which names the log's key, is missing" });
  else if (opened.data.key !== receipt.log.key || opened.data.log !== receipt.log.id) {
    found("key_mismatch", { seq: 0, message: `entry 0 names the key ${String(opened.data.key)}` });
  }
  const own = entries.filter(({ subject }) => subject === receipt.request);
  if (own.length === 0) {
    found("incomplete", { message: `no entry of ${receipt.request}` });
    return null;
  }
  if (own[0]?.kind !== "request.received" && own[0]?.kind !== "request.refused") {
    found("incomplete", { seq: own[0]?.seq ?? null, message: "the receipt does not start with the request" });
  }
  const people = checkPolicies(receipt, entries, found);
  const roots = checkWitnessed(receipt, checkpoint, found);
  const order = createOrderCheck({ peopleOf: (revision) => people.get(revision) ?? null, rootAt: roots });
  const decisions: VerifiedDecision[] = [];
  for (const entry of entries) {
    const { seq, kind, subject, policy, data } = entry;
    const isLease = kind === "lease.opened" && entry.data.request === receipt.request;
    if (subject !== receipt.request && !isLease) continue;
    try {
      const result = order.step({ kind, subject, policy, at: Date.parse(entry.time), data } as Step);
      for (const { code, message, rule } of result.problems) {
        found(code, { seq, message, ...(rule === undefined ? {} : { rule }) });
      }
      if (kind === "decision.recorded" && result.decision !== undefined) {
        const ran = policy === null ? null : (people.get(policy) ?? null);
        if (ran === null) found("policy_unproved", { seq });
        const faulty = result.problems.length > 0 || ran === null;
        decisions.push({ entry, facts: result.decision.facts, people: ran, faulty });
      }
      if (kind === "consent.asked") checkQuestion(own, entry, found);
    } catch (error) {
      found("malformed_entry", {
        seq,
        message: `${kind}: ${error instanceof Error ? error.message : "unreadable"}`,
      });
    }
  }
  checkBlobs(receipt, found);
  try {
    const phase = order.phaseOf(receipt.request) ?? "unknown";
    const { id: logId } = receipt.log;
    const key = currentKey(keys).text;
    const { request, missing } = receipt;
    const erasures = entries.filter(
      (entry): entry is Entry<"blob.erased"> =>
        entry.kind === "blob.erased" &&
        entry.subject === `erasure:${request}` &&
        entry.data.documents !== undefined,
    );
    return summarise({
      ...{ request, key, logId, checkpoint, decisions, phase, erasures, missing },
      entries: own,
    });
  } catch (error) {
    // Members of another type than their kind has, where no rule looks.
    found("malformed_entry", { message: error instanceof Error ? error.message : "unreadable" });
    return null;
  }
}

/** People by revision, for the documents that hash to a revision which an entry of the receipt adopted. */
function checkPolicies(
  receipt: Receipt,
  entries: readonly Entry[],
  found: Found,
): ReadonlyMap<string, PolicyPeople> {
  const adopted = new Set<string>();
  for (const entry of entries) if (entry.kind === "policy.adopted") adopted.add(entry.data.revision);
  const people = new Map<string, PolicyPeople>();
  for (const { revision, document } of receipt.policies) {
    if (document === null) continue;
    if (!adopted.has(revision) || !isRevision(document, revision)) {
      found("blob_mismatch", { message: `a policy document is not the one of revision ${revision}` });
    } else people.set(revision, readPolicyPeople(document));
  }
  return people;
}

/** Roots of earlier sizes that the signed log provably extends. */
function checkWitnessed(
  receipt: Receipt,
  checkpoint: Checkpoint,
  found: Found,
): (size: number) => TreeHash | null {
  const roots = new Map<number, TreeHash>();
  for (const { size, root, proof } of receipt.witnessed) {
    const hashes = proof.map((hex) => fromHex(hex) as TreeHash);
    if (verifyConsistency(size, checkpoint.size, rootOf(root), rootOf(checkpoint.root), hashes)) {
      roots.set(size, rootOf(root));
    } else
      found("witness_mismatch", {
        message: `the log does not extend the one of ${size} entries with ${root}`,
      });
  }
  return (size) => roots.get(size) ?? null;
}

/** The question has to be about what was received and planned (D1). */
function checkQuestion(own: readonly Entry[], asked: Entry<"consent.asked">, found: Found): void {
  const { question } = asked.data;
  const compare = (what: string, a: unknown, b: unknown): void => {
    if (canonicalJson(a ?? null) === canonicalJson(b ?? null)) return;
    const message = `the question names another ${what} than the entries before it`;
    found("question_mismatch", { seq: asked.seq, message, rule: "D1" });
  };
  for (const entry of own) {
    if (entry.kind === "request.received") {
      const { data } = entry;
      compare("requester", question.requester, data.requester);
      compare("tool", [question.tool, question.tool_definition], [data.tool, data.toolDefinition]);
      compare("arguments", question.arguments, data.arguments.digest);
      compare("targets", question.targets, data.targets);
      compare("reasoning", question.reasoning, data.reasoning?.digest);
    }
    if (entry.kind === "request.planned") {
      const { data } = entry;
      compare("view", question.view, data.view?.digest);
      compare("guard", [question.guard, question.fidelity], [data.guard, data.fidelity]);
      compare(
        "files",
        question.files,
        data.files.map(({ digest }) => digest),
      );
      compare("requirement", question.requirement, data.requirement_digest);
    }
  }
}

/** Each document has to be one that an entry of the receipt names. */
function checkBlobs(receipt: Receipt, found: Found): void {
  const lines = receipt.entries.map(({ line }) => line).join("\n");
  for (const { tag, digest, salt, bytes } of receipt.blobs) {
    const content = Buffer.from(bytes, "base64");
    const isNamed = lines.includes(`"${digest}"`);
    if (!isNamed || digestBytes(tag, content, Buffer.from(salt, "hex")) !== digest) {
      found("blob_mismatch", { message: `the ${tag} ${digest} is not what an entry names` });
    }
  }
}

const rootOf = (root: Digest): TreeHash => fromHex(root.slice("sha256:".length)) as TreeHash;
