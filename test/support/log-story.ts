import type { RequestEntries } from "../../src/request/entries.ts";
import { createHash } from "node:crypto";
import { canonicalBytes, type JsonObject } from "../../src/base/canonical-json.ts";
import { digestBytes, digestJson, requestCode, type Digest } from "../../src/base/digest.ts";
import type { GrantId, LogId, RequestId } from "../../src/base/id.ts";
import { questionDigest, type Question } from "../../src/consent/question.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../src/consent/statement.ts";
import { statementSummary } from "../../src/consent/summary.ts";
import type { ConsentEntries } from "../../src/consent/entries.ts";
import type { Isolation } from "../../src/log/checkpoint.ts";
import type { Assurance, Requirement } from "../../src/policy/verdict.ts";
import { createWrittenLog, type WrittenLog } from "./log-writer.ts";
import { createSoftwareKey } from "./ssh-signing.ts";

// Requests as a gateway would log them, with real signatures: a person asks, two others approve, the plan runs.

/** A fixed private key for logs in tests. */
export const TEST_LOG_KEY = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIBQbQyHAM4U4l3oV8bXzeQbvYb4VfA8zzkmLHoFUk9yE
-----END PRIVATE KEY-----
`;

export const LOG_ID: LogId = "log_01JD7Z0000000000000000000A";
export const START = Date.parse("2026-11-21T10:00:00.000Z");

export interface Approver {
  readonly fingerprint: string;
  sign(message: Uint8Array, namespace: string): string;
}

export const seedOf = (name: string): Buffer => createHash("sha256").update(name).digest();

/** The people of the story; `eve` is in no group. */
export const KEYS: Readonly<Record<string, Approver>> = Object.fromEntries(
  ["ana", "ben", "chi", "eve"].map((name) => [name, createSoftwareKey(seedOf(name))]),
);

/** A resolved policy as `policy.adopted` has it digested: what is not about people is left out. */
export const policyDocument = (
  keys: Readonly<Record<string, Approver>> = KEYS,
  change: JsonObject = {},
): JsonObject => {
  const person = (id: string, name: string, verified = false): JsonObject => ({
    name,
    disabled: false,
    os: [],
    ssh: [{ fingerprint: (keys[id] as Approver).fingerprint, user_verified: verified }],
  });
  return {
    version: 1,
    people: {
      ana: person("ana", "Ana Ruiz"),
      ben: person("ben", "Ben Ode"),
      chi: person("chi", "Chi Wu", true),
      eve: person("eve", "Eve Low"),
    },
    groups: { sre: ["ana", "ben", "chi"] },
    agents: { "claude-desktop": { owners: ["ana"], description: null } },
    ...change,
  };
};

export interface Story {
  readonly log: WrittenLog;
  readonly revision: Digest;
  readonly document: JsonObject;
  /** Appends `log.opened` and `policy.adopted`. */
  open(): void;
  received(request: RequestId, change?: Partial<RequestEntries["request.received"]>): void;
  planned(request: RequestId, verdict: "allow" | "hold" | "deny"): void;
  asked(request: RequestId, change?: Partial<Question>): ConsentEntries["consent.asked"];
  decided(
    asked: ConsentEntries["consent.asked"],
    person: string,
    change?: Partial<Statement>,
    entry?: Partial<ConsentEntries["decision.recorded"]>,
  ): ConsentEntries["decision.recorded"];
  settled(request: RequestId, outcome: "granted" | "denied", by: readonly string[]): void;
  granted(request: RequestId, question: Digest | null): GrantId;
  claimed(request: RequestId, grant: GrantId, fence?: number): void;
  dispatched(request: RequestId, grant: GrantId, fence?: number): void;
  ended(request: RequestId, grant: GrantId, outcome?: "done" | "failed" | "unknown"): void;
  /** A held request that ben and chi approve and that runs. */
  approvedRequest(request: RequestId): ConsentEntries["consent.asked"];
  /** A request that the policy allows and that runs. */
  allowedRequest(request: RequestId): void;
}

export const requestId = (n: number): RequestId => `req_01JD7Z${String(n).padStart(20, "0")}`;
const grantOf = (request: RequestId): GrantId => `grt_${request.slice("req_".length)}`;

export function createStory(
  options: {
    readonly isolation?: Isolation;
    readonly keys?: Readonly<Record<string, Approver>>;
    readonly clauses?: Requirement["clauses"];
    readonly solo?: string | null;
    readonly document?: JsonObject;
  } = {},
): Story {
  const keys = options.keys ?? KEYS;
  const log = createWrittenLog({
    key: TEST_LOG_KEY,
    logId: LOG_ID,
    start: START,
    isolation: options.isolation ?? "service",
  });
  const document = options.document ?? policyDocument(keys);
  const revision = digestJson("policy", document);
  const json = (value: unknown): Uint8Array => canonicalBytes(value);
  const planOf = (request: RequestId): Uint8Array =>
    json({ service: "web", commit: "4f2a91c", for: request });
  const plans = new Map<RequestId, Digest>();
  const requirement: Requirement = {
    clauses: options.clauses ?? [{ from: ["sre"], count: 2, assurance: "A2" }],
    withinMs: 30 * 60_000,
    executeWithinMs: 10 * 60_000,
    execute: "on_approval",
    masks: [],
    solo: options.solo ?? null,
    registration: null,
  };
  const timeOf = (aheadMs: number): string =>
    new Date(START + log.lines.length * 1_000 + aheadMs).toISOString();
  const views = new Map<RequestId, Digest>();
  const reasonings = new Map<RequestId, Digest>();
  const requester = {
    principal: { kind: "person" as const, id: "ana" },
    agent: "claude-desktop",
    chain: [],
    owners: ["ana"],
  };
  const targets = [{ kind: "service", id: "web", environment: "demo" }];
  const tool = "deploy_service";
  const definition = digestJson("tool", { name: tool });
  const argumentsOf = digestJson("arguments", { service: "web" });

  const story: Story = {
    log,
    revision,
    document,
    open() {
      log.append({
        kind: "log.opened",
        subject: "log",
        policy: null,
        data: { log: LOG_ID, key: log.signer.vkey, countersign: "0.1.0" },
      });
      log.append({
        kind: "policy.adopted",
        subject: "policy",
        policy: revision,
        data: {
          revision,
          registry: digestJson("registry", {}),
          from: null,
          mode: "first",
          text: log.putBlob("policy", json(document), "application/yaml"),
          registrations: log.putBlob("registry", json({})),
          statements: [],
        },
      });
    },
    received(request, change = {}) {
      const reasoning = log.putBlob("reasoning", json({ justification: "the release is due", chain: null }));
      reasonings.set(request, reasoning.digest);
      log.append({
        kind: "request.received",
        subject: request,
        policy: revision,
        keys: [{ key: `call:${request}`, until: null }],
        data: {
          requester,
          tool,
          toolDefinition: definition,
          effect: "write",
          arguments: { digest: argumentsOf, bytes: 17, type: "application/json" },
          maskedArguments: log.putBlob("arguments", json({ service: "web" })),
          targets,
          reasoning,
          transport: "stdio",
          client: { name: "claude", version: "1" },
          follows: null,
          ...change,
        },
      });
    },
    planned(request, verdict) {
      const plan = log.putBlob("plan", planOf(request));
      const view = log.putBlob(
        "view",
        json({ typ: "countersign.view", v: 1, effectLine: "DEPLOY 1 service · demo" }),
      );
      plans.set(request, plan.digest);
      views.set(request, view.digest);
      log.append({
        kind: "request.planned",
        subject: request,
        policy: revision,
        data: {
          plan,
          files: [],
          view,
          summary: "deploy web at 4f2a91c to demo",
          guard: "commit 4f2a91c",
          fidelity: "exact",
          expires_at: null,
          inputs: log.putBlob("inputs", json({})),
          masked_inputs: log.putBlob("inputs", json({})),
          verdict,
          rules: [],
          requirement: verdict === "hold" ? requirement : null,
          requirement_digest: verdict === "hold" ? digestJson("requirement", requirement) : null,
          because: [],
        },
      });
    },
    asked(request, change = {}) {
      const question: Question = {
        typ: "countersign.question",
        v: 1,
        log: LOG_ID,
        request,
        requester,
        tool,
        tool_definition: definition,
        arguments: argumentsOf,
        targets,
        plan: plans.get(request) as Digest,
        files: [],
        view: views.get(request) as Digest,
        reasoning: reasonings.get(request) ?? null,
        guard: "commit 4f2a91c",
        fidelity: "exact",
        requirement: digestJson("requirement", requirement),
        execute: "on_approval",
        nonce: seedOf(request).toString("hex", 0, 16),
        asked_at: timeOf(0),
        deadline: timeOf(30 * 60_000),
        ...change,
      };
      const digest = questionDigest(question);
      const data = { question, digest, code: requestCode(digest), requirement };
      log.append({ kind: "consent.asked", subject: request, policy: revision, data });
      return data;
    },
    decided(asked, person, change = {}, entry = {}) {
      const statement: Statement = {
        typ: "countersign.decision",
        v: 1,
        decision: "approve",
        question: asked.digest,
        summary: statementSummary(asked.question),
        approver: person,
        solo: false,
        reason: null,
        takes_back: null,
        log: null,
        issued_at: timeOf(0),
        ...change,
      };
      const key = keys[person] as Approver;
      const data: ConsentEntries["decision.recorded"] = {
        question: asked.digest,
        statement,
        statement_digest: digestBytes("statement", statementBytes(statement)),
        person,
        assurance: "A2" as Assurance,
        counted: true,
        why_not: null,
        proof: {
          kind: "sshsig",
          signature: key.sign(statementBytes(statement), SSHSIG_NAMESPACE),
          fingerprint: key.fingerprint,
          channel: "cli",
        },
        ...entry,
      };
      log.append({ kind: "decision.recorded", subject: asked.question.request, policy: revision, data });
      return data;
    },
    settled(request, outcome, by) {
      const data = { outcome, by, reason: null, solo: false };
      log.append({ kind: "consent.settled", subject: request, policy: revision, data });
    },
    granted(request, question) {
      const grant = grantOf(request);
      log.append({
        kind: "grant.minted",
        subject: request,
        policy: revision,
        data: {
          grant,
          basis: question === null ? "verdict" : "consent",
          question,
          plan: plans.get(request) ?? digestJson("plan", {}),
          execute_by: timeOf(10 * 60_000),
        },
      });
      return grant;
    },
    claimed(request, grant, fence = 1) {
      const owner = { boot: "boot_01JD7Z0000000000000000000A" as const, pid: 42, start: "1" };
      log.append({
        kind: "execution.claimed",
        subject: request,
        policy: revision,
        data: { grant, owner, fence },
      });
    },
    dispatched(request, grant, fence = 1) {
      const data = { grant, fence, idempotency_key: grant };
      log.append({ kind: "execution.dispatched", subject: request, policy: revision, data });
    },
    ended(request, grant, outcome = "done") {
      const data = { grant, outcome, summary: "deployed web", output: null, undo: null, error: null };
      log.append({ kind: "execution.settled", subject: request, policy: revision, data });
    },
    approvedRequest(request) {
      story.received(request);
      story.planned(request, "hold");
      const asked = story.asked(request);
      story.decided(asked, "ben", { log: { size: log.lines.length, root: log.root() } });
      story.decided(asked, "chi");
      story.settled(request, "granted", ["ben", "chi"]);
      const grant = story.granted(request, asked.digest);
      story.claimed(request, grant);
      story.dispatched(request, grant);
      story.ended(request, grant);
      return asked;
    },
    allowedRequest(request) {
      story.received(request);
      story.planned(request, "allow");
      const grant = story.granted(request, null);
      story.claimed(request, grant);
      story.dispatched(request, grant);
      story.ended(request, grant);
    },
  };
  return story;
}
