import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canonicalBytes } from "../../src/base/canonical-json.ts";
import { systemClock, timestamp } from "../../src/base/clock.ts";
import { digestJson, type Digest } from "../../src/base/digest.ts";
import { newId, type RequestId } from "../../src/base/id.ts";
import { createSshKeyPair, type SshKeyPair } from "../../src/base/ssh-signing-key.ts";
import { verifySshSignature } from "../../src/base/sshsig.ts";
import { createAttest } from "../../src/consent/attest.ts";
import { createDesk } from "../../src/consent/create-desk.ts";
import { codeOf, questionDigest, type Question } from "../../src/consent/question.ts";
import type { Home } from "../../src/gate/home.ts";
import { readView } from "../../src/gate/read-view.ts";
import { createRequestReader } from "../../src/gate/request-reader.ts";
import { createHomeFold } from "../../src/gate/state.ts";
import { loadPolicy } from "../../src/policy/load.ts";
import type { View } from "../../src/preview/view.ts";
import { openEmbeddedStore } from "../../src/store/embedded/embedded-store.ts";
import { checkpointSigner } from "./checkpoint-signer.ts";

// A real log, store and desk with requests that wait for people: everything behind the API but the gate, whose entries
// are written here by hand.

export interface AskedHome {
  readonly home: Pick<Home, "desk" | "requests" | "store">;
  readonly keys: Readonly<Record<"ana" | "ben" | "dee" | "mallory", SshKeyPair>>;
  /** Asks people about one more deployment of `ref`. */
  ask(ref: string): Promise<RequestId>;
  close(): Promise<void>;
}

const SUMMARY = "deploy web \u001b[31m<script>alert(1)</script>";

export async function openAskedHome(): Promise<AskedHome> {
  const dir = await mkdtemp(join(tmpdir(), "countersign-asked-"));
  const clock = systemClock;
  const fold = createHomeFold();
  const { state } = fold;
  const store = await openEmbeddedStore({
    dir,
    blobsDir: join(dir, "blobs"),
    keysDir: join(dir, "keys"),
    fold,
    clock,
    isolation: "none",
    signer: checkpointSigner,
    create: { version: "0.0.0" },
  });
  const keys = {
    ana: createSshKeyPair("ana"),
    ben: createSshKeyPair("ben"),
    dee: createSshKeyPair("dee"),
    mallory: createSshKeyPair("mallory"),
  };
  const loaded = loadPolicy(
    `version: 1
adopt: on_save
people:
  ana: { name: Ana, ssh: ["${keys.ana.fingerprint}"] }
  ben: { name: Ben, ssh: ["${keys.ben.fingerprint}"] }
  dee: { name: Dee, ssh: ["${keys.dee.fingerprint}"] }
groups: { sre: [ana, ben], security: [dee] }
agents: { desktop: { owners: [ana] } }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }
policy_change: { by: [sre], quorum: 1, assurance: A2 }
rules: []
`,
    { file: "policy.yaml", tools: null },
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  const policy = loaded.value;

  const desk = createDesk({
    clock,
    state,
    policy: () => policy,
    policySeq: () => state.adopted.newestSeq,
    catchUp: () => store.catchUp(),
    append: store.append,
    view: (request) => readView(state, store, request),
    attest: createAttest({
      now: () => clock.now(),
      verifySignature(armoured, message, namespace) {
        const verified = verifySshSignature({ armoured, message, namespace });
        return verified.ok ? { fingerprint: verified.value.fingerprint, sk: verified.value.sk } : null;
      },
    }),
    maskText: (text) => text,
    isPastDeadline: (consent) => Date.now() >= consent.deadline,
    clockIsBehind: () => false,
  });

  const put = async (tag: "arguments" | "view" | "plan" | "inputs", value: unknown) => {
    const [ref] = await store.blobs.put([{ tag, bytes: canonicalBytes(value), type: "application/json" }]);
    if (ref === undefined) throw new Error("no blob was stored");
    return ref;
  };

  const ask = async (gitRef: string): Promise<RequestId> => {
    const id = newId("req", clock.now()) as RequestId;
    const requester = {
      principal: { kind: "person", id: "ana" },
      agent: "desktop",
      chain: [],
      owners: ["ana"],
    } as const;
    const targets = [{ kind: "service", id: "web", environment: "prod" }] as const;
    const definition = digestJson("tool", { name: "deploy_service" });
    const view: View = {
      typ: "countersign.view",
      v: 1,
      effectLine: "DEPLOY 1 service · prod · web",
      tool: "deploy_service",
      effect: "write",
      targets,
      arguments: JSON.stringify({ ref: gitRef, service: "web" }),
      preview: {
        summary: SUMMARY,
        verb: "DEPLOY",
        changes: [],
        counts: { files: 1 },
        facts: {},
        warnings: [],
        documents: [{ title: "diff", kind: "diff", body: "-old\n+<img src=x onerror=alert(1)>" }],
        complete: true,
        reversible: "deploy the previous release",
        fidelity: "exact",
      },
      rules: [],
      reasoning: { justification: "because", chain: null },
      isolation: "none",
    };
    const args = await put("arguments", { service: "web", ref: gitRef });
    const plan = await put("plan", { commit: gitRef });
    const shown = await put("view", view);
    const requirement = {
      clauses: [{ from: ["sre"], count: 1, assurance: "A2" }],
      withinMs: 1_800_000,
      executeWithinMs: 600_000,
      execute: "on_approval",
      masks: [],
      solo: null,
      registration: null,
    } as const;
    const now = clock.now();
    const question: Question = {
      typ: "countersign.question",
      v: 1,
      log: store.logId,
      request: id,
      requester,
      tool: "deploy_service",
      tool_definition: definition,
      arguments: args.digest,
      targets,
      plan: plan.digest,
      files: [],
      view: shown.digest,
      reasoning: null,
      guard: "g",
      fidelity: "exact",
      requirement: digestJson("requirement", requirement),
      execute: "on_approval",
      nonce: "00".repeat(16),
      asked_at: timestamp(now),
      deadline: timestamp(now + requirement.withinMs),
    };
    const revision: Digest = policy.revision;
    const appended = await store.append({
      expect: [{ subject: id, newest: null }],
      newKeys: [],
      entries: [
        {
          kind: "request.received",
          subject: id,
          policy: revision,
          data: {
            requester,
            tool: "deploy_service",
            toolDefinition: definition,
            effect: "write",
            arguments: args,
            maskedArguments: args,
            targets,
            reasoning: null,
            transport: "http",
            client: null,
            follows: null,
          },
        },
        {
          kind: "request.planned",
          subject: id,
          policy: revision,
          data: {
            plan,
            files: [],
            view: shown,
            summary: SUMMARY,
            guard: "g",
            fidelity: "exact",
            expires_at: null,
            inputs: await put("inputs", {}),
            masked_inputs: await put("inputs", {}),
            verdict: "hold",
            rules: [],
            requirement,
            requirement_digest: question.requirement,
            because: [],
          },
        },
        {
          kind: "consent.asked",
          subject: id,
          policy: revision,
          data: { question, digest: questionDigest(question), code: codeOf(question), requirement },
        },
      ],
    });
    if (!appended.ok) throw new Error("the entries were not written");
    return id;
  };

  return {
    home: { desk, store, requests: createRequestReader({ state, store }) },
    keys,
    ask,
    async close() {
      await store.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
