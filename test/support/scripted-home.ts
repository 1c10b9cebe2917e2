import type { CredentialDesk } from "../../src/consent/credential-desk.ts";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { canonicalBytes } from "../../src/base/canonical-json.ts";
import { timestamp } from "../../src/base/clock.ts";
import {
  SETTLEMENT_NAMESPACE,
  settlementBytes,
  type SettlementStatement,
} from "../../src/execution/settlement.ts";
import { digestJson, type Digest } from "../../src/base/digest.ts";
import type { LogId, RequestId } from "../../src/base/id.ts";
import { err, ok } from "../../src/base/result.ts";
import type { Settings } from "../../src/config/settings.ts";
import { verifySshSignature } from "../../src/base/sshsig.ts";
import type { DecisionAnswer, Desk, OpenQuestion, Quorum } from "../../src/consent/desk.ts";
import { DECISION_REFUSALS, type DecisionRefusalCode, type Proof } from "../../src/consent/entries.ts";
import { codeOf, questionDigest, type Question } from "../../src/consent/question.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../src/consent/statement.ts";
import { CountersignError } from "../../src/errors.ts";
import type { Adoption, Home, Proposal } from "../../src/gate/home.ts";
import type { Entry } from "../../src/log/entry.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import type { Person, Policy } from "../../src/policy/policy.ts";
import type { Clause, Requirement } from "../../src/policy/verdict.ts";
import type { ToolView, View } from "../../src/preview/view.ts";
import type { Requester } from "../../src/request/principal.ts";
import type { RequestSummary } from "../../src/request/summary.ts";
import type { Store } from "../../src/store/store.ts";
import { consistencyProofOf, rootOf } from "./reference-merkle.ts";

// A home as the command line sees it, without gate, policy engine or disk: questions are put into it, signatures are
// checked by the real ssh-keygen, and whatever a command should never do throws.

export const T0 = Date.UTC(2026, 10, 21, 10, 0, 0);

export interface ScriptedQuestion {
  readonly view?: Partial<View>;
  readonly preview?: Partial<ToolView>;
  readonly requester?: Partial<Requester>;
  readonly clauses?: readonly Clause[];
  readonly solo?: string | null;
  readonly withinMs?: number;
}

export interface ScriptedHome extends Home {
  readonly now: { ms: number };
  /** Puts a question before people and gives it as a channel sees it. */
  ask(question?: ScriptedQuestion): OpenQuestion;
  /** What was handed in and accepted. */
  readonly accepted: readonly { readonly statement: Statement; readonly proof: Proof }[];
  readonly adopted: readonly Digest[];
  readonly resolved: readonly (readonly [RequestId, string, string, string])[];
  /** Ends a request. */
  end(request: RequestId, phase: RequestSummary["phase"]): void;
  /** Settlements that were handed in under a signature. */
  readonly settlements: readonly SettlementStatement[];
  propose(proposal: Partial<Proposal>): void;
  /** Appends filler entries to the log. */
  grow(count: number): void;
  /** What somebody who edits the log's files does: changes an entry, or drops the newest. */
  rewrite(change: "edit" | "truncate"): void;
  closed: boolean;
}

export function person(id: string, fingerprints: readonly string[] = [], more: Partial<Person> = {}): Person {
  const ssh = fingerprints.map((fingerprint) => ({ fingerprint, userVerified: false }));
  return { id, name: id, disabled: false, os: [], ssh, oidc: null, ...more };
}

export function scriptedPolicy(parts: {
  readonly people: readonly Person[];
  readonly groups: Readonly<Record<string, readonly string[]>>;
  readonly solo?: string;
}): Policy {
  return {
    revision: digestJson("policy", { people: parts.people.map(({ id }) => id) }),
    document: {},
    people: new Map(parts.people.map((one) => [one.id, one])),
    groups: new Map(Object.entries(parts.groups)),
    onCall: new Map(),
    agents: new Map([["claude-desktop", { owners: ["ana"] }]]),
    services: new Set(),
    accounts: { principals: new Map(), actors: new Map(), clients: new Map() },
    solo: parts.solo ?? null,
    adopt: "signed",
    masks: new Map(),
    warnings: [],
    tests: [],
    policyChange: { by: ["sre"], quorum: 1, assurance: "A2" },
    evaluate: () => misuse("evaluate a policy"),
    explain: () => misuse("explain a policy"),
  };
}

function misuse(what: string): never {
  throw new Error(`the command line has no business to ${what} here`);
}

const PREVIEW: ToolView = {
  summary: "deploy web at 4f2a91c to demo",
  verb: "DEPLOY",
  changes: [{ op: "update", resource: "service web", before: "3a1b77e", after: "4f2a91c" }],
  counts: { files: 2 },
  facts: {},
  warnings: [],
  documents: [
    {
      title: "3a1b77e..4f2a91c",
      kind: "diff",
      body: "--- a/index.html\n+++ b/index.html\n@@ -1,3 +1,3 @@\n <main>\n-  <h1>Hello</h1>\n+  <h1>Hello, world</h1>\n </main>\n",
    },
  ],
  complete: true,
  reversible: "deploy the release before",
  fidelity: "exact",
};

export function createScriptedHome(parts: {
  readonly policy: Policy;
  readonly settings?: Settings;
}): ScriptedHome {
  const now = { ms: T0 };
  const logId: LogId = "log_01KAKJT00000000000000000LG";
  let asked = 0;
  let entries: Entry[] = [];
  const requests = new Map<RequestId, RequestSummary>();
  const open = new Map<RequestId, OpenQuestion>();
  const accepted: { statement: Statement; proof: Proof }[] = [];
  const adopted: Digest[] = [];
  const settlements: SettlementStatement[] = [];
  const wasAsked = new Map<RequestId, OpenQuestion>();
  const resolved: [RequestId, string, string, string][] = [];
  const listeners = new Set<(entries: readonly Entry[]) => void>();
  let proposal: Proposal = {
    revision: parts.policy.revision,
    registry: parts.policy.revision,
    errors: [],
    changed: false,
    diff: [],
    needs: null,
    endorsements: [],
    missing: 0,
  };

  const append = (draft: Omit<Entry, "v" | "seq" | "time">): void => {
    const entry = { ...draft, v: 1, seq: entries.length, time: timestamp(now.ms) } as Entry;
    entries.push(entry);
    for (const listener of listeners) listener([entry]);
  };
  const leaves = (): Uint8Array[] => entries.map((entry) => canonicalBytes(entry));
  append({
    kind: "log.opened",
    subject: "log",
    policy: null,
    data: { log: logId, key: `${logId}+00000000+AQ`, countersign: "0.1.0" },
  } as never);

  const quorumOf = (one: OpenQuestion): Quorum => {
    const standing = new Set(
      one.decisions
        .filter(({ counted, decision }) => counted && decision === "approve")
        .map((decision) => decision.person),
    );
    for (const { decision, person: who } of one.decisions) if (decision === "take_back") standing.delete(who);
    const clauses = one.requirement.clauses.map((clause) => {
      const by = [...standing].filter((who) =>
        clause.from.some((group) => parts.policy.groups.get(group)?.includes(who)),
      );
      return { clause, by, missing: Math.max(0, clause.count - by.length) };
    });
    return { clauses, met: clauses.every(({ missing }) => missing === 0) };
  };
  const put = (one: OpenQuestion): OpenQuestion => {
    const eligible = one.requirement.clauses.map((clause) =>
      clause.from.flatMap((group) => [...(parts.policy.groups.get(group) ?? [])]),
    );
    const updated = { ...one, quorum: quorumOf(one), eligible };
    open.set(one.request, updated);
    return updated;
  };
  const notFound = (reference: string): never => {
    throw new CountersignError("REQUEST_NOT_FOUND", `no request ${reference}`);
  };
  const refused = (code: DecisionRefusalCode) => err({ code, message: DECISION_REFUSALS[code] });

  const desk: Desk = {
    pending: () => [...open.values()].sort((a, b) => a.deadline - b.deadline),
    find(reference) {
      const found = [...open.values()].filter(
        (one) => one.code === reference.toUpperCase() || one.request === reference,
      );
      if (found.length > 1)
        throw new CountersignError("REQUEST_AMBIGUOUS", `${reference} fits ${found.length} requests`);
      return found[0] ?? notFound(reference);
    },
    open: async (request) => open.get(request) ?? notFound(request),
    async draft(request, choice) {
      const one = open.get(request) ?? notFound(request);
      return {
        typ: "countersign.decision",
        v: 1,
        decision: choice.decision,
        question: one.digest,
        summary: one.summary,
        approver: choice.person,
        solo: one.requirement.solo === choice.person,
        reason: choice.reason,
        ...(choice.fixable === true ? { fixable: true as const } : {}),
        takes_back: choice.decision === "take_back" ? one.digest : null,
        log: choice.log,
        issued_at: timestamp(now.ms),
      };
    },
    async decide(statement, proof) {
      const one = [...open.values()].find(({ digest }) => digest === statement.question);
      if (one === undefined) return refused("already_settled");
      if (proof.kind !== "sshsig") throw new Error("a scripted home takes SSH signatures only");
      if (!verifies(proof.signature, statementBytes(statement), SSHSIG_NAMESPACE)) {
        throw new CountersignError("SIGNATURE_INVALID", "the signature does not verify");
      }
      const { signature: armoured } = proof;
      const ours = verifySshSignature({
        armoured,
        message: statementBytes(statement),
        namespace: SSHSIG_NAMESPACE,
      });
      if (!ours.ok || ours.value.fingerprint !== proof.fingerprint) {
        throw new Error("the proof names another key than the signature");
      }
      const signer = [...parts.policy.people.values()].find(({ ssh }) =>
        ssh.some(({ fingerprint }) => fingerprint === proof.fingerprint),
      );
      if (signer === undefined) return refused("unknown_signer");
      if (signer.id !== statement.approver) return refused("wrong_person");
      const isOwn = one.question.requester.principal.id === signer.id && one.requirement.solo !== signer.id;
      if (isOwn) return refused("self_approval");
      accepted.push({ statement, proof });
      const updated = put({
        ...one,
        decisions: [
          ...one.decisions,
          {
            person: signer.id,
            decision: statement.decision,
            counted: true,
            whyNot: null,
            reason: statement.reason,
            at: timestamp(now.ms),
            takenBack: false,
          },
        ],
      });
      return ok(answer(updated, statement));
    },
    async inquire(request, { person: asker, text, proof }) {
      const one = open.get(request) ?? notFound(request);
      if (!parts.policy.people.has(asker)) return refused("unknown_signer");
      const inquiry = `inq_${one.inquiries.length}`;
      append({
        kind: "inquiry.made",
        subject: request,
        policy: null,
        data: { question: one.digest, inquiry, person: asker, text, proof },
      } as never);
      const at = timestamp(now.ms);
      put({ ...one, inquiries: [...one.inquiries, { id: inquiry, person: asker, text, at, answer: null }] });
      return ok({ inquiry });
    },
  };
  const answer = (one: OpenQuestion, statement: Statement): DecisionAnswer => {
    if (statement.decision === "deny") {
      settle(one.request, "denied");
      return { state: "denied" };
    }
    if (statement.decision === "take_back") return { state: "taken_back", quorum: one.quorum };
    if (!one.quorum.met) return { state: "recorded", quorum: one.quorum };
    settle(one.request, "done");
    return { state: "granted", solo: statement.solo, executeBy: timestamp(now.ms + 600_000) };
  };
  const settle = (request: RequestId, phase: RequestSummary["phase"]): void => {
    const ended = open.get(request);
    if (ended !== undefined) wasAsked.set(request, ended);
    open.delete(request);
    const summary = requests.get(request);
    if (summary === undefined) throw new Error(`no request ${request}`);
    requests.set(request, { ...summary, phase, updatedAt: now.ms });
  };

  const adoption: Adoption = {
    sequence: () => [1],
    current: () => parts.policy,
    proposal: async () => proposal,
    draft: async (who) => ({
      typ: "countersign.adoption",
      v: 1,
      log: logId,
      from: { policy: parts.policy.revision, registry: parts.policy.revision },
      to: { policy: proposal.revision ?? misuse("draft an invalid proposal"), registry: proposal.registry },
      approver: who,
      issued_at: timestamp(now.ms),
    }),
    endorse: () => misuse("endorse"),
    async adopt(statements) {
      for (const { statement, proof } of statements) {
        if (proof.kind !== "sshsig") throw new Error("a scripted home takes SSH signatures only");
        if (!verifies(proof.signature, adoptionBytes(statement), ADOPTION_NAMESPACE)) {
          throw new CountersignError("SIGNATURE_INVALID", "the signature does not verify");
        }
      }
      const people = new Set(statements.map(({ statement }) => statement.approver));
      if (people.size < (proposal.needs?.quorum ?? 0))
        throw new CountersignError(
          "ADOPTION_REFUSED",
          `${people.size} of ${proposal.needs?.quorum ?? 0} signed`,
        );
      const revision = proposal.revision ?? misuse("adopt an invalid proposal");
      adopted.push(revision);
      return revision;
    },
  };

  const store: Store = {
    logId,
    head: () => ({ size: entries.length, root: rootOf(leaves()), newestTime: now.ms }),
    append: () => misuse("append to the log itself"),
    catchUp: async () => undefined,
    async *lines(fromSeq) {
      for (const [seq, bytes] of leaves().entries()) if (seq >= fromSeq) yield { seq, bytes };
    },
    entriesOf: () => misuse("read entries by subject"),
    newestEntries: async (limit) => entries.slice(-limit).reverse(),
    rotations: () => [],
    checkpoint: () => misuse("ask for a checkpoint"),
    inclusionProof: () => misuse("ask for an inclusion proof"),
    consistencyProof: async (oldSize, newSize) => consistencyProofOf(oldSize, leaves().slice(0, newSize)),
    rootAt: async (size) => rootOf(leaves().slice(0, size)),
    follow(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    blobs: {
      put: () => misuse("store blobs"),
      place: () => misuse("store blobs"),
      get: () => misuse("read blobs"),
      salt: () => misuse("read salts"),
      eraseSealed: () => misuse("erase blobs"),
      erase: () => misuse("erase blobs"),
      eraseRecords: () => misuse("erase blobs"),
      sealedRequests: () => misuse("list sealed requests"),
    },
    close: async () => undefined,
  };

  const home: ScriptedHome = {
    settings: parts.settings ?? ({} as Settings),
    log: pino({ level: "silent" }),
    store,
    tools: [],
    gate: {
      tools: () => [],
      call: () => misuse("call a tool"),
      beyondPermit: () => misuse("ask what a token permits"),
      look: () => misuse("look at a list"),
      onToolsChanged: () => misuse("listen for tools"),
      wait: () => misuse("wait as a caller"),
      movedAt: () => misuse("look as a caller"),
      answer: () => misuse("answer for a caller"),
      withdraw: () => misuse("withdraw for a caller"),
    },
    desk,
    adoption,
    credentials: new Proxy({} as CredentialDesk, { get: () => misuse("look at credentials") }),
    requests: {
      list: (limit, fits = () => true) =>
        [...requests.values()]
          .reverse()
          .filter(({ id }) => fits(id))
          .slice(0, limit),
      peek: (id) => requests.get(id) ?? null,
      page: () => misuse("read pages"),
      async find(reference) {
        const found = [...requests.values()].filter(
          ({ id, code }) => id.startsWith(reference) || code === reference.toUpperCase(),
        );
        if (found.length > 1)
          throw new CountersignError("REQUEST_AMBIGUOUS", `${reference} fits ${found.length} requests`);
        return found[0] ?? notFound(reference);
      },
      history: async (request) => entries.filter(({ subject }) => subject === request),
    },
    records: {
      erasures: async () => [],
      erased: async () => null,
      read: () => misuse("read a record document"),
      readAll: () => misuse("read record documents"),
      erase: () => misuse("erase records"),
    },
    replay: {
      ofRequest: () => misuse("replay a request"),
      explain: () => misuse("explain a verdict"),
      ofLog: () => misuse("replay the log"),
    },
    explain: () => misuse("explain a request"),
    startSteward: () => misuse("become the steward"),
    hasSteward: () => Promise.resolve(true),
    rotateLogKey: () => misuse("rotate the log's key"),
    draftSettlement: async (request, { outcome, again = false, person: approver, message }) => ({
      typ: "countersign.settlement",
      v: 1,
      log: logId,
      request,
      grant: "grt_01KAKJT00000000000000000GR",
      outcome,
      again,
      message,
      approver,
      issued_at: timestamp(now.ms),
    }),
    async settle(statement, proof) {
      if (proof.kind !== "sshsig") throw new Error("a scripted home takes SSH signatures only");
      if (!verifies(proof.signature, settlementBytes(statement), SETTLEMENT_NAMESPACE)) {
        throw new CountersignError("SIGNATURE_INVALID", "the signature does not verify");
      }
      const one = open.get(statement.request) ?? wasAsked.get(statement.request);
      if (one?.question.requester.principal.id === statement.approver) return refused("self_approval");
      settlements.push(statement);
      settle(statement.request, statement.outcome);
      return ok({ outcome: statement.outcome, again: null });
    },
    async resolveUnknown(request, outcome, who, message) {
      resolved.push([request, outcome, who, message]);
    },
    async close() {
      if (home.closed) throw new Error("the home was closed twice");
      home.closed = true;
    },
    closed: false,
    now,
    accepted,
    adopted,
    resolved,
    settlements,
    end: settle,
    propose: (changes) => {
      proposal = { ...proposal, changed: true, ...changes };
    },
    grow(count) {
      for (let i = 0; i < count; i += 1) {
        append({
          kind: "throttled",
          subject: "log",
          policy: null,
          data: { principal: "ana", agent: "a", count: i + 1, limit: "reads" },
        } as never);
      }
    },
    rewrite(change) {
      if (change === "truncate") entries = entries.slice(0, -1);
      else
        entries = entries.map((entry) =>
          entry.seq === 0 ? ({ ...entry, time: timestamp(T0 - 1) } as Entry) : entry,
        );
    },
    ask(script = {}) {
      // Ids that do not change from run to run: codes in golden files come from them.
      asked += 1;
      const request: RequestId = `req_01KAKJT0000000000000000${String(asked).padStart(3, "0")}`;
      const deadline = now.ms + (script.withinMs ?? 30 * 60_000);
      const requester: Requester = {
        principal: { kind: "person", id: "ana" },
        agent: "claude-desktop",
        chain: [],
        owners: ["ana"],
        ...script.requester,
      };
      const requirement: Requirement = {
        clauses: script.clauses ?? [{ from: ["sre"], count: 1, assurance: "A2" }],
        withinMs: script.withinMs ?? 30 * 60_000,
        executeWithinMs: 600_000,
        execute: "on_approval",
        masks: [],
        solo: script.solo ?? null,
        registration: null,
      };
      const view: View = {
        typ: "countersign.view",
        v: 1,
        effectLine: "DEPLOY 1 service · demo · web",
        tool: "deploy_service",
        effect: "write",
        targets: [{ kind: "service", id: "web", environment: "demo" }],
        arguments: '{"ref":"main","service":"web"}',
        rules: [{ id: "changes-need-a-person", because: "a person looks at every change" }],
        reasoning: { justification: "the greeting should be friendlier", chain: null },
        isolation: "none",
        ...script.view,
        preview: { ...PREVIEW, ...script.preview },
      };
      const question: Question = {
        typ: "countersign.question",
        v: 1,
        log: logId,
        request,
        requester,
        tool: view.tool,
        tool_definition: digestJson("tool", 1),
        arguments: digestJson("arguments", 1),
        targets: view.targets,
        plan: digestJson("plan", view.preview.summary),
        files: [],
        view: digestJson("view", view),
        reasoning: null,
        guard: "guard",
        fidelity: view.preview.fidelity,
        requirement: digestJson("requirement", requirement),
        execute: "on_approval",
        nonce: "0".repeat(32),
        asked_at: timestamp(now.ms),
        deadline: timestamp(deadline),
      };
      const code = codeOf(question);
      requests.set(request, {
        id: request,
        phase: "held",
        tool: view.tool,
        environments: view.targets.map(({ environment }) => environment),
        principal: requester.principal.id,
        agent: requester.agent,
        summary: view.preview.summary,
        code,
        reasonCode: null,
        receivedAt: now.ms,
        updatedAt: now.ms,
        newestSeq: entries.length,
      });
      append({
        kind: "consent.asked",
        subject: request,
        policy: null,
        data: { question, digest: questionDigest(question), code, requirement },
      } as never);
      return put({
        request,
        code,
        digest: questionDigest(question),
        question,
        requirement,
        requester: question.requester,
        summary: view.preview.summary,
        deadline,
        quorum: { clauses: [], met: false },
        view,
        decisions: [],
        phase: "held",
        settled: null,
        eligible: [],
        escalations: [],
        reminders: null,
        onCall: [],
        inquiries: [],
      });
    },
  };
  return home;
}

/** Asks the real ssh-keygen, without caring whose key it is. */
function verifies(signature: string, bytes: Uint8Array, namespace: string): boolean {
  const dir = mkdtempSync(join(tmpdir(), "countersign-check-"));
  try {
    writeFileSync(join(dir, "sig"), signature);
    execFileSync("ssh-keygen", ["-Y", "check-novalidate", "-n", namespace, "-s", join(dir, "sig")], {
      input: bytes,
      stdio: ["pipe", "ignore", "ignore"],
    });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
