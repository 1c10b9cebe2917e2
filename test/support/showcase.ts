import { z } from "zod";
import { createSshKeyPair } from "../../src/base/ssh-signing-key.ts";
import type { RequestId } from "../../src/base/id.ts";
import type { CredentialLine } from "../../src/console/reader.ts";
import { answerInquiry, inquire, openConsoleWorld, wordOf, type ConsoleWorld } from "./console-world.ts";
import { showcaseTool, type Scene } from "./showcase-tools.ts";

// A home as a team would have it, with requests of every kind: for pictures of the pages, and for tests that look at all
// of them.

export interface Showcase extends ConsoleWorld {
  readonly requests: Readonly<
    Record<"deploy" | "destroy" | "access" | "hostile" | "unknown" | "denied" | "done" | "own", RequestId>
  >;
}

/** Every trick that text can play, for every field that an agent or a backend fills. */
export const HOSTILE = {
  markup: `<img src=x onerror="alert(1)"><script>alert(2)</script><a href="https://evil.example">click</a>`,
  bidi: "safe\u202egnp.exe\u2066 hidden\u2069",
  homoglyph: "p\u0430ypal-pr\u043ed",
  ansi: "\u001b[31mred\u001b[0m\u001b]8;;https://evil.example\u0007link\u001b]8;;\u0007",
  blanks: `begin${" ".repeat(400)}end${"\n".repeat(60)}after`,
  invisible: "admin\u200b\u2060\ufeff\u00adtail",
  marker: "⟦U+202E⟧ and ⟦312 spaces⟧",
} as const;
export const HOSTILE_TEXT = Object.values(HOSTILE).join(" | ");
const HOSTILE_LINE = Object.values(HOSTILE).join(" | ").slice(0, 299);

const DIFF = `diff --git a/checkout/config.yaml b/checkout/config.yaml
--- a/checkout/config.yaml
+++ b/checkout/config.yaml
@@ -12,7 +12,8 @@ checkout:
   timeouts:
-    payment: 4s
+    payment: 9s
+    payment_retry: 2
   currency: EUR
diff --git a/checkout/handlers/pay.ts b/checkout/handlers/pay.ts
--- a/checkout/handlers/pay.ts
+++ b/checkout/handlers/pay.ts
@@ -41,6 +41,9 @@ export async function pay(order: Order): Promise<Receipt> {
   const attempt = await gateway.charge(order.total, order.card);
+  if (attempt.status === "timeout") {
+    return retryOnce(order);
+  }
   return receiptOf(attempt);
`;

const PLAN = Array.from(
  { length: 84 },
  (_, i) => `  - subnet_${String(i).padStart(2, "0")} = "10.20.${i}.0/24" -> null`,
).join("\n");

const SCENES: Readonly<Record<string, Scene>> = {
  checkout: {
    targets: [{ kind: "service", id: "checkout", environment: "prod" }],
    view: {
      verb: "DEPLOY",
      summary: "deploy checkout at 4f2a91c to prod: 2 files changed since what runs now",
      counts: { files_changed: 2, files_removed: 0, commits: 3 },
      facts: { branch: "main", running: "9be01d2", signed_commits: true },
      changes: [{ op: "update", resource: "service checkout", before: "9be01d2", after: "4f2a91c" }],
      documents: [{ title: "9be01d2..4f2a91c", kind: "diff", body: DIFF }],
      reversible: "yes: deploy 9be01d2 again, about 40 s",
      fidelity: "exact",
    },
  },
  orders: {
    targets: [
      { kind: "database", id: "orders-archive", environment: "prod" },
      { kind: "network", id: "vpc-orders", environment: "prod" },
    ],
    view: {
      verb: "DESTROY",
      summary: "destroy the orders archive and its network: 1 database, 84 subnets",
      counts: { delete: 85, add: 0, change: 0, dependants: 3 },
      facts: { rows: 48_210_377, newest_backup: "2026-11-21T02:00:00Z" },
      warnings: [{ code: "has_dependants", text: "3 services still read from this database" }],
      changes: [
        {
          op: "delete",
          resource: "aws_db_instance.orders_archive",
          before: "db.r6g.2xlarge, 1.2 TiB",
          after: null,
        },
        { op: "delete", resource: "aws_vpc.orders", before: "10.20.0.0/16", after: null },
      ],
      documents: [{ title: "saved plan, 85 to destroy", kind: "text", body: PLAN }],
      reversible: "no: the newest backup is 26 hours old",
      fidelity: "pinned",
    },
  },
  access: {
    targets: [{ kind: "role", id: "billing-admin", environment: "prod" }],
    view: {
      verb: "GRANT",
      summary: "give svc-reports the role billing-admin for 2 hours",
      counts: { grants: 1 },
      changes: [
        { op: "grant", resource: "svc-reports on billing-admin", before: null, after: "until 14:30 UTC" },
      ],
      reversible: "yes: it ends by itself after 2 hours",
      fidelity: "checked",
    },
  },
  hostile: {
    targets: [{ kind: "bucket", id: `exports-${HOSTILE.homoglyph}`, environment: "staging" }],
    view: {
      verb: "EXPORT",
      summary: HOSTILE_LINE,
      counts: { rows: 12 },
      facts: { owner: HOSTILE_TEXT },
      warnings: [{ code: "odd_name", text: HOSTILE_TEXT }],
      changes: [{ op: "create", resource: HOSTILE_TEXT, before: HOSTILE_TEXT, after: HOSTILE_TEXT }],
      documents: [
        { title: HOSTILE_TEXT, kind: "text", body: HOSTILE_TEXT },
        { title: "rows", kind: "table", body: `id  name\n1   ${HOSTILE_TEXT}` },
      ],
      reversible: HOSTILE_TEXT,
      fidelity: "estimated",
    },
  },
  search: {
    targets: [{ kind: "service", id: "search", environment: "prod" }],
    ends: "lost",
    view: {
      verb: "DEPLOY",
      summary: "deploy search at 11c0ffe to prod: 1 file changed since what runs now",
      counts: { files_changed: 1 },
      changes: [{ op: "update", resource: "service search", before: "88aa120", after: "11c0ffe" }],
    },
  },
  shop: {
    targets: [{ kind: "service", id: "shop", environment: "staging" }],
    view: {
      verb: "DEPLOY",
      summary: "deploy shop at 77b1e02 to staging: 5 files changed since what runs now",
      counts: { files_changed: 5 },
      changes: [{ op: "update", resource: "service shop", before: "0dd51e9", after: "77b1e02" }],
    },
  },
  partial: {
    targets: [{ kind: "service", id: "legacy", environment: "prod" }],
    view: {
      verb: "RUN",
      summary: "run a script on legacy that could not be read whole",
      complete: false,
      fidelity: "none",
    },
  },
};

const sceneNamed = (value: unknown): Scene => SCENES[String(value)] ?? (SCENES["shop"] as Scene);

export const SHOWCASE_POLICY = (keyOf: (person: string) => string): string => `version: 1
policy_change: { by: [sre], quorum: 1, assurance: A2 }
people:
  ana: { name: Ana Ruiz, oidc: { issuer: "https://idp.example.com", subject: ana } }
  ben: { name: Ben Okafor, oidc: { issuer: "https://idp.example.com", subject: ben }, ssh: [{ fingerprint: "${keyOf("ben")}", user_verified: true }] }
  chi: { name: Chi Tanaka, oidc: { issuer: "https://idp.example.com", subject: chi }, ssh: [{ fingerprint: "${keyOf("chi")}", user_verified: true }] }
  dee: { name: Dee Larsen, oidc: { issuer: "https://idp.example.com", subject: dee }, ssh: [{ fingerprint: "${keyOf("dee")}", user_verified: true }] }
  eva: { name: Eva Novak, disabled: true }
groups:
  sre: [ben, chi]
  security: [dee]
  leads: { on_call: { people: [dee, chi], every: 7d, starts: 2026-01-05T08:00:00Z } }
agents:
  claude: { owners: [ana], description: the platform team's assistant }
  release-bot: { owners: [ben] }
services: { jenkins: {} }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 45m } }
rules:
  - id: prod-deploys-need-one
    match: { tool: deploy_service, environment: prod }
    verdict: hold
    because: every release to production is looked at by a person on call
  # Deleting is for two, with keys that verify who holds them.
  - id: prod-deletes-need-two
    match: { tool: apply_infrastructure, environment: prod }
    when: preview.counts.delete > 0
    verdict: hold
    approve: { by: [sre, security], quorum: 2, assurance: A3, within: 1h, remind: 10m, escalate: [{ after: 15m, to: [leads] }] }
    because: deleting production resources needs two people with passkeys
  - id: access-is-for-security
    match: { tool: change_access }
    verdict: hold
    approve: { by: [security], quorum: 1, assurance: A2 }
    because: who may do what is decided by security
  - id: reports-stay-home
    match: { tool: export_data, environment: prod }
    verdict: deny
    because: production data does not leave
`;

const scene = z.strictObject({ service: z.string(), ref: z.string().default("main") });

export interface ShowcaseOptions {
  readonly isolation?: "service" | "none";
  readonly port?: number;
}

/** Opens the home and fills it. The person to look as is `ben`, on call, with a passkey. */
export async function openShowcase(options: ShowcaseOptions = {}): Promise<Showcase> {
  const start = Date.now();
  const credentials: readonly CredentialLine[] = [
    {
      id: "AQIDBA",
      person: "ben",
      label: "phone",
      enrolledAt: start - 40 * 86_400_000,
      countsFrom: start - 39 * 86_400_000,
      backedUp: true,
    },
    {
      id: "BQYHCA",
      person: "ben",
      label: "new laptop",
      enrolledAt: start - 3 * 3_600_000,
      countsFrom: start + 21 * 3_600_000,
      backedUp: false,
    },
    {
      id: "CQoLDA",
      person: "dee",
      label: "security key",
      enrolledAt: start - 90 * 86_400_000,
      countsFrom: start - 89 * 86_400_000,
      backedUp: false,
    },
  ];
  const world = await openConsoleWorld({
    policy: SHOWCASE_POLICY((person) => createSshKeyPair(person).fingerprint),
    credentials,
    verification: {
      state: "ok",
      last: {
        state: "ok",
        at: new Date(start - 4 * 60_000).toISOString(),
        tookMs: 40,
        size: 24,
        bytes: 40_000,
        findings: [],
        error: null,
      },
      startedAt: null,
      nextAt: null,
    },
    ...options,
    tools: (dir) => [
      showcaseTool(
        {
          name: "deploy_service",
          title: "Deploy a service",
          effect: "write",
          input: scene,
          scene: ({ service }) => sceneNamed(service),
        },
        dir,
      ),
      showcaseTool(
        {
          name: "apply_infrastructure",
          title: "Apply a terraform plan",
          effect: "destructive",
          input: z.strictObject({ workspace: z.string() }),
          scene: ({ workspace }) => sceneNamed(workspace),
        },
        dir,
      ),
      showcaseTool(
        {
          name: "change_access",
          title: "Change who may do what",
          effect: "privilege",
          input: z.strictObject({ role: z.string(), subject: z.string(), hours: z.number() }),
          scene: () => sceneNamed("access"),
        },
        dir,
      ),
      showcaseTool(
        {
          name: "export_data",
          title: "Export data",
          effect: "write",
          input: z.strictObject({ query: z.string(), to: z.string() }),
          scene: () => sceneNamed("hostile"),
        },
        dir,
      ),
    ],
  });
  const { home } = world;
  const idOf = async (reply: Promise<{ readonly status: string }>): Promise<RequestId> => {
    const told = (await reply) as { ticket?: RequestId; request?: RequestId; status: string };
    const id = told.ticket ?? told.request;
    if (id === undefined) throw new Error(`no request: ${JSON.stringify(told)}`);
    return id;
  };
  const decide = async (
    request: RequestId,
    person: string,
    decision: "approve" | "deny",
    reason: string | null,
  ): Promise<void> => {
    const statement = await home.desk.draft(request, { decision, person, reason, log: null });
    const decided = await home.desk.decide(statement, wordOf(person));
    if (!decided.ok) throw new Error(decided.error.message);
  };
  const settled = async (request: RequestId): Promise<void> => {
    for (let i = 0; i < 200; i += 1) {
      const { phase } = await home.requests.find(request);
      if (["done", "failed", "unknown"].includes(phase)) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`${request} was not run`);
  };

  const done = await idOf(
    world.ask(
      "deploy_service",
      { service: "shop", ref: "release-41" },
      { justification: "Release 41 passed in CI." },
    ),
  );
  await decide(done, "ben", "approve", "release train");
  await settled(done);
  const unknown = await idOf(
    world.ask("deploy_service", { service: "search" }, { justification: "Roll out the new ranking." }),
  );
  await decide(unknown, "chi", "approve", null);
  await settled(unknown);
  const denied = await idOf(
    world.ask(
      "deploy_service",
      { service: "shop", ref: "experiment" },
      { justification: "Try the experiment branch." },
    ),
  );
  await decide(denied, "chi", "deny", "Not from an experiment branch; merge it first.");
  const own = await idOf(
    world.ask(
      "deploy_service",
      { service: "shop", ref: "release-42" },
      { agent: "release-bot", principal: "jenkins", justification: "Nightly release." },
    ),
  );
  const access = await idOf(
    world.ask(
      "change_access",
      { role: "billing-admin", subject: "svc-reports", hours: 2 },
      { justification: "The monthly report needs one read of billing." },
    ),
  );
  const destroy = await idOf(
    world.ask(
      "apply_infrastructure",
      { workspace: "orders" },
      {
        justification:
          "Ticket OPS-4471 asks to remove the old orders archive. The last export finished on Friday and nobody read from it this week.",
      },
    ),
  );
  const asked = Date.now();
  await inquire(
    home,
    destroy,
    "dee",
    "Three services still read from it. Which ones, and do they know?",
    asked,
  );
  await answerInquiry(
    home,
    destroy,
    asked,
    "claude",
    "reports, refunds and search-index. I posted in their channels yesterday; refunds has not answered.",
  );
  const deploy = await idOf(
    world.ask(
      "deploy_service",
      { service: "checkout" },
      {
        justification:
          "Payments time out at the bank since 13:40. The fix raises the timeout and retries once; tests pass on 4f2a91c.",
        reasoning: [
          "saw 312 payment timeouts in the last hour",
          "found the 4 s limit in checkout/config.yaml",
          "opened the fix, CI is green",
        ],
      },
    ),
  );
  const hostile = await idOf(
    world.ask(
      "export_data",
      { query: HOSTILE_TEXT, to: HOSTILE.bidi },
      {
        justification: HOSTILE_TEXT,
        reasoning: [HOSTILE_TEXT, { [HOSTILE.homoglyph]: HOSTILE.ansi }],
        callId: "h2",
        client: { name: HOSTILE.markup, version: HOSTILE.bidi },
      },
    ),
  );
  return Object.assign(world, { requests: { deploy, destroy, access, hostile, unknown, denied, done, own } });
}
