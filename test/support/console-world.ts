import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { systemClock, timestamp, type Clock } from "../../src/base/clock.ts";
import type { RequestId } from "../../src/base/id.ts";
import { ok } from "../../src/base/result.ts";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { openHome, type OpenedHome } from "../../src/compose.ts";
import type { Settings } from "../../src/config/settings.ts";
import { readAssets } from "../../src/console/assets.ts";
import { createConsole, refusalPage } from "../../src/console/console.tsx";
import type { ConsoleParts, CredentialLine } from "../../src/console/reader.ts";
import type { SessionProof } from "../../src/consent/entries.ts";
import type { Reply } from "../../src/gate/reply.ts";
import type { Session } from "../../src/transport/http/actor.ts";
import { startApi } from "../../src/transport/http/api.ts";
import { createBearer } from "../../src/transport/http/bearer.ts";
import type { VerificationState } from "../../src/transport/http/verification.ts";
import type { Tool } from "../../src/tool.ts";
import { settingsIn } from "./settings.ts";

// A real home, its pages and its API on a real listener, and people who are signed in: each test names who.

export interface ConsoleWorld {
  readonly home: OpenedHome;
  readonly dir: string;
  readonly origin: string;
  /** Cookie of a session of that person. */
  cookie(person: string, change?: Partial<Session>): { name: string; value: string; url: string };
  /** Asks for a tool as the agent; the reply comes at once, pending or not. */
  ask(tool: string, args: Record<string, unknown>, more?: AskOptions): Promise<Reply>;
  readonly policyFile: string;
  close(): Promise<void>;
}

export interface AskOptions {
  readonly agent?: string;
  readonly principal?: string;
  readonly justification?: string;
  readonly reasoning?: unknown;
  readonly callId?: string;
  readonly client?: { readonly name: string; readonly version: string };
}

export interface ConsoleWorldOptions {
  readonly policy: string;
  readonly tools: (dir: string) => readonly Tool[];
  readonly clock?: Clock;
  readonly credentials?: readonly CredentialLine[];
  readonly verification?: VerificationState;
  readonly isolation?: Settings["isolation"];
  readonly port?: number;
}

export async function openConsoleWorld(options: ConsoleWorldOptions): Promise<ConsoleWorld> {
  const root = await mkdtemp(join(tmpdir(), "countersign-console-"));
  const dir = join(root, "backend");
  await mkdir(dir);
  const homeDir = join(root, "home");
  await mkdir(join(homeDir, "data"), { recursive: true, mode: 0o700 });
  const clock = options.clock ?? systemClock;
  const settings = settingsIn(homeDir, {
    isolation: options.isolation ?? "service",
    limits: {
      heldPerMinute: 100_000,
      openRequests: 100_000,
      previewsAtOnce: 50,
      previewsPerHour: 100_000,
    },
  });
  await writeFile(settings.policyFile, options.policy);
  const log = pino({ level: process.env["COUNTERSIGN_TEST_LOG"] ?? "silent" });
  const home = await openHome(settings, {
    version: "test",
    clock,
    log,
    create: true,
    makeTools: () => options.tools(dir),
    readRegistrations: () => Promise.resolve(ok({} as JsonObject)),
  });
  await home.adoption.adoptFirst();
  await home.startSteward();

  const sessions = new Map<string, Session>();
  const now = (): number => clock.now();
  const parts: ConsoleParts = {
    home,
    sessions: {
      find: (cookie) => sessions.get(/(?:^|; )session=([\w-]+)/.exec(cookie ?? "")?.[1] ?? "") ?? null,
      list: (person) => [...sessions.values()].filter((session) => session.person === person),
    },
    version: "0.1.0",
    assets: await readAssets(),
    now,
    hasSteward: () => Promise.resolve(true),
    freeBytes: () => Promise.resolve(48 * 1024 ** 3),
    ...(options.credentials === undefined ? {} : { credentials: () => options.credentials ?? [] }),
    ...(options.verification === undefined
      ? {}
      : { verification: () => options.verification as VerificationState }),
  };
  const api = await startApi({
    home,
    listener: { host: "localhost", port: options.port ?? 0 },
    tokens: createBearer([]),
    sessions: parts.sessions,
    pages: createConsole(parts),
    refusalPage: (status, right) => refusalPage(parts, status, right),
    version: parts.version,
    clock,
    log,
    // One person opens pages here faster than anybody could.
    limits: { take: () => null, look: () => null },
  });
  const origin = api.url;

  return {
    home,
    dir,
    origin,
    policyFile: settings.policyFile,
    cookie(person, change = {}) {
      const token = `t${createHash("sha256")
        .update(`${person}${JSON.stringify(change)}`)
        .digest("hex")
        .slice(0, 24)}`;
      sessions.set(token, {
        id: token.slice(0, 12),
        person,
        method: "oidc",
        subject: subjectOf(person),
        signedInAt: now() - 60_000,
        expiresAt: now() + 8 * 3_600_000,
        csrf: "csrf-of-the-test",
        ...change,
      });
      return { name: "session", value: token, url: origin };
    },
    ask: (tool, args, more = {}) =>
      home.gate.call(
        {
          tool,
          arguments: {
            ...args,
            ...(more.justification === undefined ? {} : { justification: more.justification }),
          },
          caller: {
            principal: { kind: "named", id: more.principal ?? "ana" },
            agent: more.agent ?? "claude",
            transport: "http",
            client: more.client ?? { name: "claude-code", version: "2.1.0" },
          },
          ...(more.reasoning === undefined ? {} : { reasoning: more.reasoning }),
          ...(more.callId === undefined ? {} : { callId: more.callId }),
        },
        { signal: new AbortController().signal, holdMs: 0 },
      ),
    async close() {
      await api.close(0);
      await home.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

const subjectOf = (person: string): string => `https://idp.example.com ${person}`;

/** The gateway's word that this person, freshly signed in, said so. */
export const wordOf = (person: string): SessionProof => ({
  kind: "session",
  method: "oidc",
  signed_in_at: timestamp(Date.now()),
  subject: subjectOf(person),
  channel: "console",
});

/** What the desk records when a person asks the agent something. */
export async function inquire(
  home: OpenedHome,
  request: RequestId,
  person: string,
  text: string,
  at: number,
): Promise<void> {
  const pending = home.desk.find(request);
  await home.store.append({
    expect: [],
    newKeys: [],
    entries: [
      {
        kind: "inquiry.made",
        subject: request,
        policy: home.adoption.current().revision,
        data: {
          question: pending.digest,
          inquiry: `inq_${at}`,
          person,
          text,
          proof: wordOf(person),
        },
      },
    ],
  });
}

/** What the gate records when the agent answers. */
export async function answerInquiry(
  home: OpenedHome,
  request: RequestId,
  at: number,
  agent: string,
  text: string,
): Promise<void> {
  await home.store.append({
    expect: [],
    newKeys: [],
    entries: [
      {
        kind: "inquiry.answered",
        subject: request,
        policy: home.adoption.current().revision,
        data: { inquiry: `inq_${at}`, text, agent },
      },
    ],
  });
}
