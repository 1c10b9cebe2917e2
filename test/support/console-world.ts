import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { timestamp } from "../../src/base/clock.ts";
import { isId, type RequestId } from "../../src/base/id.ts";
import { ok } from "../../src/base/result.ts";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { openHome, type OpenedHome } from "../../src/compose.ts";
import type { Settings } from "../../src/config/settings.ts";
import { settingsIn } from "./settings.ts";
import { readAssets } from "../../src/console/assets.ts";
import { createConsole } from "../../src/console/console.tsx";
import type { ConsoleParts, CredentialLine, Verification } from "../../src/console/reader.ts";
import { parseStatement } from "../../src/consent/parse-statement.ts";
import { SSHSIG_NAMESPACE, statementBytes } from "../../src/consent/statement.ts";
import type { Reply } from "../../src/gate/reply.ts";
import type { Session } from "../../src/transport/http/actor.ts";
import { listen } from "../../src/transport/http/listen.ts";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import type { Tool } from "../../src/tool.ts";

// A real home, its pages on a real listener, and people who are signed in: each test names who. The calls of the pages'
// script are answered over the real desk, in the shapes of the API.

export interface ConsoleWorld {
  readonly home: OpenedHome;
  readonly dir: string;
  readonly origin: string;
  /** Cookie of a session of that person. */
  cookie(person: string, change?: Partial<Session>): { name: string; value: string; url: string };
  /** Asks for a tool as the agent; the reply comes at once, pending or not. */
  ask(tool: string, args: Record<string, unknown>, more?: AskOptions): Promise<Reply>;
  /** Statements that were handed in, as they came. */
  readonly handedIn: { readonly path: string; readonly body: unknown }[];
  /** What the draft becomes on its way to the page. */
  tamper: ((draft: Record<string, unknown>) => unknown) | null;
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
  readonly verification?: Verification;
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
  const handedIn: ConsoleWorld["handedIn"][number][] = [];
  const world: { tamper: ConsoleWorld["tamper"] } = { tamper: null };
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
    ...(options.verification === undefined ? {} : { verification: () => options.verification ?? null }),
  };
  const app = new Hono();
  app.route("/api/v1", callsOf(parts, home, { handedIn, world, now }));
  app.route("/", createConsole(parts));
  const serve = getRequestListener((request) => app.fetch(request), { overrideGlobalObjects: false });
  const listening = await listen({
    host: "localhost",
    port: options.port ?? 0,
    what: "console",
    setting: "none",
    handle: (request, response) => void serve(request, response),
  });
  const origin = `http://localhost:${listening.port}`;

  return {
    home,
    dir,
    origin,
    handedIn,
    policyFile: settings.policyFile,
    get tamper() {
      return world.tamper;
    },
    set tamper(tamper) {
      world.tamper = tamper;
    },
    cookie(person, change = {}) {
      const token = `t${createHash("sha256")
        .update(`${person}${JSON.stringify(change)}`)
        .digest("hex")
        .slice(0, 24)}`;
      sessions.set(token, {
        id: token.slice(0, 12),
        person,
        method: "passkey",
        subject: "credential",
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
      await listening.close(0);
      await home.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

interface Recording {
  readonly handedIn: ConsoleWorld["handedIn"][number][];
  readonly world: { readonly tamper: ConsoleWorld["tamper"] };
  now(): number;
}

/** The calls that the pages' script makes, over the real desk. */
function callsOf(parts: ConsoleParts, home: OpenedHome, { handedIn, world, now }: Recording): Hono {
  const calls = new Hono<{ Variables: { session: Session } }>();
  calls.use("*", async (c, next) => {
    const session = parts.sessions.find(c.req.header("cookie"));
    if (session === null) return c.json({ code: "unauthenticated", title: "sign in first" }, 401);
    if (c.req.method !== "GET" && c.req.header("x-csrf-token") !== session.csrf) {
      return c.json({ code: "forbidden", title: "the CSRF token is missing" }, 403);
    }
    c.set("session", session);
    return next();
  });
  calls.get("/requests/:ref/draft", async (c) => {
    const decision = c.req.query("decision") as "approve" | "deny" | "take_back";
    const statement = await home.desk.draft(c.req.param("ref") as RequestId, {
      decision,
      person: c.get("session").person,
      reason: c.req.query("reason") ?? null,
      log: null,
    });
    const whole = c.req.query("fixable") === "true" ? { ...statement, fixable: true as const } : statement;
    const bytes = Buffer.from(statementBytes(whole));
    const draft = {
      statement: whole,
      sign: {
        namespace: SSHSIG_NAMESPACE,
        bytes: bytes.toString("base64"),
        challenge: createHash("sha256").update(bytes).digest("base64url"),
      },
    };
    return c.json((world.tamper?.(draft as never) ?? draft) as never);
  });
  calls.post("/requests/:ref/decisions", async (c) => {
    const body = (await c.req.json()) as { statement: unknown; proof: { kind: string } };
    handedIn.push({ path: c.req.path, body });
    const session = c.get("session");
    const decided = await home.desk.decide(parseStatement(body.statement), {
      kind: "session",
      method: session.method,
      signed_in_at: timestamp(session.signedInAt),
      subject: session.subject,
      channel: "console",
    });
    return decided.ok
      ? c.json(decided.value as never)
      : c.json({ code: decided.error.code, title: "refused", detail: decided.error.message }, 409);
  });
  calls.post("/requests/:ref/inquiries", async (c) => {
    const { text } = (await c.req.json()) as { text: string };
    const { person } = c.get("session");
    await inquire(home, c.req.param("ref") as RequestId, person, text, now());
    return c.json({ inquiry: "inq_1" });
  });
  calls.get("/events", (c) =>
    streamSSE(c, async (stream) => {
      const queue: { id: string; event: string; data: string }[] = [];
      let wake = (): void => undefined;
      const stop = home.store.follow((entries) => {
        for (const { subject, seq, kind } of entries) {
          if (isId("req", subject))
            queue.push({ id: String(seq), event: "request", data: JSON.stringify({ id: subject, seq }) });
          else if (kind.startsWith("policy.")) queue.push({ id: String(seq), event: "policy", data: "{}" });
        }
        wake();
      });
      stream.onAbort(() => {
        stop();
        wake();
      });
      await stream.writeSSE({ event: "hello", data: "{}" });
      while (!stream.aborted) {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) await stream.writeSSE(next);
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (queue.length > 0) resolve();
        });
      }
    }),
  );
  calls.all("*", (c) => c.json({ code: "not_found", title: "there is nothing here" }, 404));
  return calls as unknown as Hono;
}

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
          proof: {
            kind: "session",
            method: "passkey",
            signed_in_at: timestamp(at),
            subject: "credential",
            channel: "console",
          },
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
