import { canonicalCopy, canonicalJson, type Json, type JsonObject } from "../../src/base/canonical-json.ts";
import { newId, type RequestId } from "../../src/base/id.ts";
import { isFault } from "../../src/errors.ts";
import type { Attachment, Call, Gate, PublishedTool, Reply } from "../../src/gate/reply.ts";
import type { Caller } from "../../src/request/principal.ts";
import { JUSTIFICATION, MAX_REASONING_BYTES } from "../../src/request/reasoning.ts";
import { REFUSALS, type RefusalCode } from "../../src/request/refusal.ts";

// A small gate that keeps the interface's promises in memory: it recognises, holds, runs once, and answers only to
// whom a request belongs. The test is the people: it approves, denies, lets expire.

export interface ScriptedGate extends Gate {
  /** Tickets that wait for people, oldest first. */
  held(): readonly RequestId[];
  approve(ticket: string): Promise<void>;
  deny(ticket: string, words: string | null): void;
  expire(ticket: string): void;
  /** Everything that reached `call`, as it came. */
  readonly calls: readonly Call[];
  /** Throws from `call` once, as a gate whose log broke does. */
  breakNextCall(): void;
  /** Resolves when so many callers are attached to the ticket. */
  attached(ticket: string, count: number): Promise<void>;
  say(ticket: string, message: string): void;
  /** A person asks about the request; those who are attached get their reply. Gives the id of the question. */
  ask(ticket: string, text: string): string;
  /** What was answered, question by question. */
  answers(ticket: string): readonly (string | null)[];
}

interface Held {
  readonly id: RequestId;
  readonly owner: string;
  readonly key: string;
  readonly tool: string;
  readonly input: JsonObject;
  reply: Reply | null;
  running: boolean;
  readonly inquiries: { readonly id: string; readonly text: string; answer: string | null }[];
  readonly waiters: Set<{ settle: () => void; progress: (message: string) => void }>;
}

const CODE = "7QK2MD";
const BECAUSE = ["deploying to prod needs a person"];
const DEADLINE = "2026-11-21T10:30:00.000Z";

const annotations = (title: string, readOnlyHint: boolean): PublishedTool["annotations"] => ({
  title,
  readOnlyHint,
  destructiveHint: false,
  idempotentHint: readOnlyHint,
  openWorldHint: true,
});

const text = { type: "string", minLength: 1 } as const;
const justification = { type: "string", description: "why you act, in one or two sentences" } as const;

export const SCRIPTED_TOOLS: readonly PublishedTool[] = [
  {
    name: "read_service",
    title: "Read a service",
    description: "Tells which version of a service runs.",
    inputSchema: {
      type: "object",
      properties: { service: text },
      required: ["service"],
      additionalProperties: false,
    },
    outputSchema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: { service: text, ref: text },
      required: ["service", "ref"],
      additionalProperties: false,
    },
    annotations: annotations("Read a service", true),
  },
  {
    name: "deploy_service",
    title: "Deploy a service",
    description: "Deploys a service at a git ref.",
    inputSchema: {
      type: "object",
      properties: { service: text, ref: text, [JUSTIFICATION]: justification },
      required: ["service", "ref", JUSTIFICATION],
      additionalProperties: false,
    },
    outputSchema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: { service: text, ref: text },
      required: ["service", "ref"],
      additionalProperties: false,
    },
    annotations: annotations("Deploy a service", false),
  },
];

export interface ScriptedGateParts {
  /**
   * The effect of a deployment, which may be its output too. What it throws is a failure; a throw named `Unknown` is an
   * unknown outcome.
   */
  readonly deploy?: (input: JsonObject) => Json | void | Promise<Json | void>;
}

export function createScriptedGate(parts: ScriptedGateParts = {}): ScriptedGate {
  const requests = new Map<RequestId, Held>();
  const keys = new Map<string, RequestId>();
  const calls: Call[] = [];
  let broken = false;

  const ownerOf = ({ principal, agent }: Caller): string => canonicalJson([principal, agent]);
  const settle = (request: Held, reply: Reply): void => {
    request.reply = reply;
    for (const waiter of request.waiters) waiter.settle();
  };
  const find = (ticket: string): Held => {
    const request = requests.get(ticket as RequestId);
    if (request === undefined) throw new Error(`no request ${ticket}`);
    return request;
  };
  const pending = (request: Held): Reply => ({
    status: "pending",
    ticket: request.id,
    code: CODE,
    because: BECAUSE,
    deadline: DEADLINE,
    waitingFor: request.running ? "it runs" : "waiting for 1 of 1 approvals",
    inquiries: request.inquiries
      .filter(({ answer }) => answer === null)
      .map(({ id, text }) => ({ id, text })),
    retryAfterMs: 5_000,
  });

  const attach = async (request: Held, attachment: Attachment): Promise<Reply> => {
    if (request.reply !== null) return request.reply;
    if (attachment.toldNothing === true && request.inquiries.some(({ answer }) => answer === null))
      return pending(request);
    await new Promise<void>((resolve) => {
      const leave = (): void => {
        // Once it runs, whoever is attached gets the outcome, however long it takes.
        if (request.running && !attachment.signal.aborted) return;
        finish();
      };
      const waiter = { settle: () => finish(), progress: attachment.progress ?? (() => undefined) };
      const handle = attachment.handleAfterMs;
      const timer = setTimeout(
        leave,
        handle === undefined ? attachment.holdMs : request.running ? handle : 0,
      );
      const finish = (): void => {
        clearTimeout(timer);
        request.waiters.delete(waiter);
        attachment.signal.removeEventListener("abort", finish);
        resolve();
      };
      request.waiters.add(waiter);
      attachment.signal.addEventListener("abort", finish, { once: true });
      if (attachment.signal.aborted) finish();
      else waiter.progress("waiting for 1 of 1 approvals");
    });
    return request.reply ?? pending(request);
  };

  return {
    calls,
    tools: () => SCRIPTED_TOOLS,
    beyondPermit: () => Promise.resolve(null),
    look: () => Promise.resolve(null),
    onToolsChanged: () => () => undefined,
    async call(call, attachment) {
      calls.push(call);
      if (broken) {
        broken = false;
        throw new Error("the log cannot be written: /secret/path");
      }
      const tool = SCRIPTED_TOOLS.find(({ name }) => name === call.tool);
      if (tool === undefined) return refused("unknown_tool", `there is no tool "${call.tool.slice(0, 80)}"`);
      if (call.reasoning !== undefined && JSON.stringify(call.reasoning).length > MAX_REASONING_BYTES) {
        return refused("call_too_large", "the reasoning is larger than 256 KiB");
      }
      const parsed = parseInput(tool, call.arguments);
      if ("problem" in parsed) return refused("invalid_arguments", parsed.problem);
      const input = parsed.input;
      if (tool.name === "read_service") {
        const id = newId("req", Date.now());
        const reply: Reply = {
          status: "done",
          request: id,
          summary: `${String(input["service"])} runs main`,
          output: { service: input["service"] as Json, ref: "main" },
        };
        const owner = ownerOf(call.caller);
        const ended = { id, owner, key: "", tool: tool.name, input, reply, running: false, inquiries: [] };
        requests.set(id, { ...ended, waiters: new Set() });
        return reply;
      }
      const owner = ownerOf(call.caller);
      const content = canonicalJson([owner, tool.name, input]);
      const byId = call.callId === undefined ? undefined : canonicalJson([owner, "id", call.callId]);
      const known = (byId === undefined ? undefined : keys.get(byId)) ?? keys.get(content);
      if (known !== undefined) {
        const request = find(known);
        if (request.key !== content)
          return refused("key_reused", "this call id was used with other arguments");
        return attach(request, attachment);
      }
      const request: Held = {
        id: newId("req", Date.now()),
        owner,
        key: content,
        tool: tool.name,
        input,
        reply: null,
        running: false,
        inquiries: [],
        waiters: new Set(),
      };
      requests.set(request.id, request);
      keys.set(content, request.id);
      if (byId !== undefined) keys.set(byId, request.id);
      return attach(request, attachment);
    },
    async wait(ticket, caller, attachment) {
      const request = requests.get(ticket as RequestId);
      // Someone else's ticket and no ticket look the same.
      if (request?.owner !== ownerOf(caller))
        return refused("unknown_ticket", "no request of yours has this ticket");
      return attach(request, attachment);
    },
    movedAt: async (ticket) => (requests.has(ticket as RequestId) ? DEADLINE : null),
    async withdraw(ticket, caller, reason) {
      const request = requests.get(ticket as RequestId);
      if (request?.owner !== ownerOf(caller))
        return refused("unknown_ticket", "no request of yours has this ticket");
      if (request.reply !== null || request.running) return request.reply ?? pending(request);
      settle(request, {
        ...refused("withdrawn", `taken back${reason === null ? "" : `: ${reason}`}`),
        request: request.id,
      });
      return find(ticket).reply as Reply;
    },
    async answer(ticket, caller, { inquiry, text }) {
      const request = requests.get(ticket as RequestId);
      if (request?.owner !== ownerOf(caller))
        return refused("unknown_ticket", "no request of yours has this ticket");
      const asked = request.inquiries.find(({ id, answer }) => id === inquiry && answer === null);
      if (asked === undefined) return refused("unknown_inquiry", "nobody asked that");
      asked.answer = text;
      return request.reply ?? pending(request);
    },
    ask(ticket, text) {
      const request = find(ticket);
      const id = `inq_${request.inquiries.length}`;
      request.inquiries.push({ id, text, answer: null });
      for (const waiter of request.waiters) waiter.settle();
      return id;
    },
    answers: (ticket) => find(ticket).inquiries.map(({ answer }) => answer),
    held: () =>
      [...requests.values()]
        .filter((request) => request.reply === null && !request.running)
        .map(({ id }) => id),
    async approve(ticket) {
      const request = find(ticket);
      if (request.reply !== null || request.running) return;
      request.running = true;
      try {
        const output = (await parts.deploy?.(request.input)) ?? request.input;
        const summary = `deployed ${String(request.input["service"])} at ${String(request.input["ref"])}`;
        settle(request, { status: "done", request: request.id, summary, output });
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        settle(
          request,
          error instanceof Error && error.name === "Unknown"
            ? { status: "unknown", request: request.id, message }
            : { status: "failed", request: request.id, code: "backend_refused", message },
        );
      }
    },
    deny(ticket, words) {
      settle(find(ticket), {
        ...refused("denied_by_person", "a person denied it"),
        request: find(ticket).id,
        deniedBy: "person",
        because: BECAUSE,
        reason: words,
      });
    },
    expire(ticket) {
      settle(find(ticket), {
        ...refused("expired", "nobody answered in time"),
        request: find(ticket).id,
        retryAfterMs: 0,
      });
    },
    breakNextCall() {
      broken = true;
    },
    async attached(ticket, count) {
      const until = Date.now() + 5_000;
      while (find(ticket).waiters.size !== count) {
        if (Date.now() > until)
          throw new Error(`${find(ticket).waiters.size} attached to ${ticket}, not ${count}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    say(ticket, message) {
      for (const waiter of find(ticket).waiters) waiter.progress(message);
    },
  };
}

type Refused = Extract<Reply, { status: "refused" }>;

const refused = (code: RefusalCode, message: string): Refused => ({
  status: "refused",
  request: null,
  code,
  class: REFUSALS[code].class,
  deniedBy: "gate",
  message,
  because: [],
  reason: null,
  advice: REFUSALS[code].advice,
  retryAfterMs: null,
});

function parseInput(tool: PublishedTool, value: unknown): { input: JsonObject } | { problem: string } {
  let copy: Json;
  try {
    copy = canonicalCopy(value) as Json;
  } catch (error) {
    return { problem: isFault(error) ? error.message : "not JSON" };
  }
  if (typeof copy !== "object" || copy === null || Array.isArray(copy))
    return { problem: "arguments must be an object" };
  const schema = tool.inputSchema as unknown as { properties: Record<string, unknown>; required: string[] };
  const given = copy as JsonObject;
  const extra = Object.keys(given).find((key) => schema.properties[key] === undefined);
  if (extra !== undefined) return { problem: `/${extra}: unknown argument` };
  const bad = schema.required.find((key) => typeof given[key] !== "string" || given[key] === "");
  if (bad !== undefined) return { problem: `/${bad}: expected a string` };
  const { [JUSTIFICATION]: _, ...input } = given;
  return { input };
}
