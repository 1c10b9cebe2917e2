import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { z } from "zod";
import type { RequestId } from "../../src/base/id.ts";
import { ok } from "../../src/base/result.ts";
import { createSshKeyPair, type SshKeyPair } from "../../src/base/ssh-signing-key.ts";
import { openHome, type OpenedHome } from "../../src/compose.ts";
import { settingsIn } from "./settings.ts";
import { defineTool, type Tool } from "../../src/tool.ts";

// A real home whose one tool would deploy, with requests that wait for people. Nobody executes: it has no steward.

export interface AskedHome {
  readonly home: OpenedHome;
  readonly keys: Readonly<Record<"ana" | "ben" | "dee" | "mallory", SshKeyPair>>;
  /** Asks people about one more deployment of `ref`. */
  ask(ref: string): Promise<RequestId>;
  close(): Promise<void>;
}

export const ASKED_SUMMARY = "deploy web \u001b[31m<script>alert(1)</script>";

const deployService = (): Tool =>
  defineTool({
    name: "deploy_service",
    title: "Deploy a service",
    description: "Brings out a commit.",
    input: z.strictObject({ service: z.string(), ref: z.string() }),
    output: z.object({}),
    plan: z.object({ ref: z.string() }),
    undo: z.object({}),
    effect: "write",
    idempotent: false,
    refusals: {},
    targets: ({ service }) => [{ kind: "service", id: service, environment: "prod" }],
    preview: ({ ref }) =>
      Promise.resolve({
        plan: { ref },
        guard: "g",
        expiresAt: null,
        view: {
          summary: ASKED_SUMMARY,
          verb: "DEPLOY",
          changes: [{ op: "update", resource: "service web", before: null, after: ref }],
          counts: { files: 1 },
          facts: {},
          warnings: [],
          documents: [{ title: "diff", kind: "diff", body: "-old\n+<img src=x onerror=alert(1)>" }],
          complete: true,
          reversible: "deploy the previous release",
          fidelity: "exact",
        },
      }),
    guard: () => Promise.resolve("g"),
    execute: () => Promise.resolve({ output: {}, undo: {} }),
  });

export async function openAskedHome(): Promise<AskedHome> {
  const root = await mkdtemp(join(tmpdir(), "countersign-asked-"));
  const keys = {
    ana: createSshKeyPair("ana"),
    ben: createSshKeyPair("ben"),
    dee: createSshKeyPair("dee"),
    mallory: createSshKeyPair("mallory"),
  };
  const settings = settingsIn(root, {
    limits: { heldPerMinute: 10_000, openRequests: 10_000, previewsPerHour: 100_000 },
  });
  await mkdir(settings.dataDir, { mode: 0o700 });
  await writeFile(
    settings.policyFile,
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
  );
  const home = await openHome(settings, {
    version: "test",
    log: pino({ level: "silent" }),
    create: true,
    makeTools: () => [deployService()],
    readRegistrations: () => Promise.resolve(ok({})),
  });
  await home.adoption.adoptFirst();

  const ask = async (ref: string): Promise<RequestId> => {
    const reply = await home.gate.call(
      {
        tool: "deploy_service",
        arguments: { service: "web", ref, justification: "because" },
        caller: {
          principal: { kind: "named", id: "ana" },
          agent: "desktop",
          transport: "stdio",
          client: null,
        },
      },
      { signal: new AbortController().signal, holdMs: 0 },
    );
    if (reply.status !== "pending") throw new Error(`expected pending, got ${JSON.stringify(reply)}`);
    return reply.ticket;
  };
  return {
    home,
    keys,
    ask,
    async close() {
      await home.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}
