import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { createSshKeyPair, type SshKeyPair } from "../../src/base/ssh-signing-key.ts";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { ok } from "../../src/base/result.ts";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { openHome, type OpenedHome } from "../../src/compose.ts";
import {
  DEFAULT_PASSKEYS,
  type Limits,
  type PasskeySettings,
  type Settings,
} from "../../src/config/settings.ts";
import { settingsIn } from "./settings.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../src/consent/statement.ts";
import type { Reply } from "../../src/gate/reply.ts";
import type { Caller } from "../../src/request/principal.ts";
import type { Tool } from "../../src/tool.ts";
import { openDoor, readNote, writeNote, type NoteWorld } from "./note-tools.ts";

// A whole home in a temporary directory: the real store, the real policy engine, the real desk, people with real keys.

export interface World {
  readonly root: string;
  readonly settings: Settings;
  readonly notes: NoteWorld;
  readonly keys: Readonly<Record<string, SshKeyPair>>;
  home: OpenedHome;
  /** Opens one more handle on the same home, as another process would have. */
  open(options?: { readonly clock?: Clock; readonly tools?: readonly Tool[] }): Promise<OpenedHome>;
  close(): Promise<void>;
}

export interface WorldOptions {
  /** Replaces `rules:` and what follows. */
  readonly rules?: string;
  /** Further lines at the top of the policy. */
  readonly head?: string;
  /** Replaces the line `defaults:`; empty for a policy without. */
  readonly defaults?: string;
  readonly clock?: Clock;
  readonly limits?: Partial<Limits>;
  readonly passkeys?: Partial<PasskeySettings>;
  readonly steward?: boolean;
  /** Beside the note tools, in every handle of this world. */
  readonly tools?: readonly Tool[];
  /** How long record documents are kept; absent: for ever. */
  readonly recordsMs?: number;
  /** People whose key is enrolled as one that verifies its user. */
  readonly userVerified?: readonly string[];
  /** Further members of a person, as YAML. */
  readonly people?: Readonly<Record<string, string>>;
  /** Replaces what stands under `agents:`. */
  readonly agents?: string;
}

export const PEOPLE = ["ana", "ben", "chi", "dee", "eva"] as const;

export const policyText = (
  keys: Readonly<Record<string, SshKeyPair>>,
  {
    rules,
    head,
    defaults,
    userVerified = [],
    people = {},
    agents = "{ claude: { owners: [ana] }, robot: { owners: [eva] } }",
  }: Pick<WorldOptions, "rules" | "head" | "defaults" | "userVerified" | "people" | "agents">,
): string => `version: 1
${head ?? "policy_change: { by: [security, sre], quorum: 2, assurance: A2 }"}
people:
${PEOPLE.map((id) => `  ${id}: { name: ${id}, ssh: [{ fingerprint: "${keys[id]?.fingerprint ?? ""}", user_verified: ${userVerified.includes(id)} }], os: ["${id}@test"], ${people[id] ?? `oidc: { issuer: "https://idp.test", subject: ${id} }`} }`).join("\n")}
groups: { sre: [ana, ben, chi], security: [dee, eva] }
agents: ${agents}
services: { ci: {} }
${defaults ?? "defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }"}
${
  rules ??
  `rules:
  - id: demo-notes-are-free
    match: { tool: write_note, environment: demo }
    verdict: allow
  - id: prod-notes-need-one
    match: { tool: write_note, environment: prod }
    verdict: hold
    because: production is looked at
  - id: vault-notes-need-two
    match: { tool: write_note, environment: vault }
    verdict: hold
    approve: { by: [sre, security], quorum: 2, assurance: A2, within: 10m }
    because: the vault needs two people
  - id: nothing-forbidden
    match: { tool: write_note }
    when: args.text.contains("forbidden")
    verdict: deny
    because: the word is forbidden
  - id: reads-are-free
    match: { tool: read_note }
    verdict: allow
  - id: doors-are-free
    match: { tool: open_door }
    verdict: allow
`
}`;

export const BOOKS = {
  log: { environment: "demo" },
  ledger: { environment: "prod" },
  safe: { environment: "vault" },
} as const;

export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  const root = await mkdtemp(join(tmpdir(), "countersign-test-"));
  const notes: NoteWorld = { dir: join(root, "notes"), runs: [] };
  await mkdir(notes.dir);
  const keys = Object.fromEntries(PEOPLE.map((id) => [id, createSshKeyPair(id)]));
  const home = join(root, "home");
  await mkdir(join(home, "data"), { recursive: true, mode: 0o700 });
  const settings = settingsIn(home, {
    passkeys: { ...DEFAULT_PASSKEYS, ...options.passkeys },
    retention: { recordsMs: options.recordsMs ?? null },
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  await writeFile(settings.policyFile, policyText(keys, options));
  const opened = new Set<OpenedHome>();
  const open = async (
    more: { readonly create?: boolean; readonly clock?: Clock; readonly tools?: readonly Tool[] } = {},
  ): Promise<OpenedHome> => {
    const handle = await openHandle(settings, notes, {
      clock: options.clock ?? systemClock,
      ...(options.tools === undefined ? {} : { tools: [...noteTools(notes), ...options.tools] }),
      ...more,
    });
    opened.add(handle);
    return handle;
  };
  const first = await open({ create: true });
  await first.adoption.adoptFirst();
  if (options.steward === true) await first.startSteward();
  const world: World = {
    root,
    settings,
    notes,
    keys,
    home: first,
    open,
    async close() {
      for (const handle of opened) await handle.close().catch(() => undefined);
      await rm(root, { recursive: true, force: true });
    },
  };
  return world;
}

export const noteTools = (notes: NoteWorld): readonly Tool[] => [
  writeNote(notes, BOOKS),
  readNote(notes),
  openDoor(notes),
];

/** One handle on a home, with the note tools; what a process of its own opens too. */
export const openHandle = (
  settings: Settings,
  notes: NoteWorld,
  more: { readonly create?: boolean; readonly clock?: Clock; readonly tools?: readonly Tool[] } = {},
): Promise<OpenedHome> =>
  openHome(settings, {
    version: "test",
    clock: more.clock ?? systemClock,
    log: pino({ level: process.env["COUNTERSIGN_TEST_LOG"] ?? "silent" }),
    create: more.create === true,
    makeTools: () => more.tools ?? noteTools(notes),
    readRegistrations: () => Promise.resolve(ok({} as JsonObject)),
  });

/** ana's agent claude, over stdio. */
export const CALLER: Caller = {
  principal: { kind: "named", id: "ana" },
  agent: "claude",
  transport: "stdio",
  client: { name: "test", version: "1" },
};

export interface CallOptions {
  readonly caller?: Caller;
  readonly callId?: string;
  readonly holdMs?: number;
  readonly signal?: AbortSignal;
  readonly reasoning?: unknown;
}

export function callTool(
  home: OpenedHome,
  tool: string,
  args: Record<string, unknown>,
  options: CallOptions = {},
): Promise<Reply> {
  return home.gate.call(
    {
      tool,
      arguments: args,
      caller: options.caller ?? CALLER,
      ...(options.callId === undefined ? {} : { callId: options.callId }),
      ...(options.reasoning === undefined ? {} : { reasoning: options.reasoning }),
    },
    { signal: options.signal ?? new AbortController().signal, holdMs: options.holdMs ?? 0 },
  );
}

/** Signs a statement with the person's key. */
export const sign = (world: World, person: string, statement: Statement): string => {
  const key = world.keys[person];
  if (key === undefined) throw new Error(`no key for ${person}`);
  return key.sign(statementBytes(statement), SSHSIG_NAMESPACE);
};

/** Drafts, signs and hands in a decision. */
export async function decide(
  world: World,
  home: OpenedHome,
  reference: string,
  person: string,
  decision: Statement["decision"] = "approve",
  change: Partial<Statement> = {},
) {
  const { request } = home.desk.find(reference);
  const drafted = await home.desk.draft(request, { decision, person, reason: null, log: null });
  const statement: Statement = { ...drafted, ...change };
  return home.desk.decide(statement, {
    kind: "sshsig",
    signature: sign(world, person, statement),
    fingerprint: "",
    channel: "cli",
  });
}

/** The ticket of a pending reply. */
export function ticketOf(reply: Reply): string {
  if (reply.status !== "pending") throw new Error(`expected pending, got ${JSON.stringify(reply)}`);
  return reply.ticket;
}
