import type { JsonObject } from "../base/canonical-json.ts";
import { neutralLine } from "../base/text.ts";
import { justificationOf } from "../gate/publish.ts";
import type { Home } from "../gate/home.ts";
import type { Reply } from "../gate/reply.ts";
import type { Caller } from "../request/principal.ts";
import type { Cli } from "./context.ts";

// Asks for an action and, where asked to, waits for what becomes of it. The exit code says how it ended, so that a job
// can go on from there; only 0 means that it ran.

export interface Call {
  readonly tool: string;
  readonly arguments: JsonObject;
  readonly justification: string | null;
  /** Sent again with it, nothing is asked or run twice. */
  readonly callId: string;
}

/** A way to the gate: over HTTP, or by opening the home. */
export interface Asking {
  readonly where: string;
  call(call: Call): Promise<Reply>;
  outcome(ticket: string, waitMs: number): Promise<Reply>;
  close(): Promise<void>;
}

export const EXIT = {
  done: 0,
  pending: 3,
  refused: 4,
  denied: 5,
  expired: 6,
  failed: 7,
  unknown: 8,
  gone: 9,
  interrupted: 130,
} as const;

export interface AskOptions {
  readonly wait: boolean;
  readonly timeoutMs: number;
  readonly json: boolean;
  /** The words that come back to this request. */
  readonly comeBack: string;
}

/** A look at the outcome waits this long, so that a person sees how it moves. */
const LOOK_MS = 10_000;

export async function askAndWait(cli: Cli, asking: Asking, call: Call, options: AskOptions): Promise<number> {
  const { terminal, parts } = cli;
  const { interrupted, clock } = parts;
  const until = clock.monotonic() + options.timeoutMs;
  let reply: Reply | null = null;
  let told = "";
  try {
    reply = await asking.call(call);
    for (;;) {
      if (reply.status !== "pending") break;
      const now = pendingLine(reply);
      if (now !== told) terminal.note(now);
      if (told === "") terminal.note(`  see it: countersign show ${neutralLine(reply.code ?? reply.ticket)}`);
      told = now;
      const left = until - clock.monotonic();
      if (!options.wait || left <= 0) break;
      reply = await asking.outcome(reply.ticket, Math.min(LOOK_MS, Math.max(left, 0)));
      // Also where the way to the gate ends its wait without an error.
      interrupted.throwIfAborted();
    }
  } catch (error) {
    if (!interrupted.aborted) throw error;
    terminal.note(
      reply === null
        ? "interrupted; the request may have been made. Sent again with the same call id it is found, not repeated:"
        : "detached: the request goes on. Come back to it:",
    );
    terminal.note(`  ${options.comeBack}`);
    return EXIT.interrupted;
  }
  if (options.json) terminal.json(reply);
  else for (const line of replyLines(reply)) terminal.out(line);
  if (reply.status === "pending") terminal.note(`come back: ${options.comeBack}`);
  return exitOf(reply);
}

function pendingLine(reply: Reply & { readonly status: "pending" }): string {
  const because = reply.because.length === 0 ? "" : `; ${reply.because.join("; ")}`;
  const deadline = reply.deadline === null ? "" : `, until ${reply.deadline}`;
  return neutralLine(`${reply.code ?? reply.ticket}  ${reply.waitingFor}${deadline}${because}`);
}

export function exitOf(reply: Reply): number {
  switch (reply.status) {
    case "done":
      return EXIT.done;
    case "pending":
      return EXIT.pending;
    case "failed":
      return EXIT.failed;
    case "unknown":
      return EXIT.unknown;
    case "refused":
      if (reply.class === "expired") return EXIT.expired;
      if (reply.class === "stale" || reply.class === "withdrawn") return EXIT.gone;
      return reply.deniedBy === "person" ? EXIT.denied : EXIT.refused;
  }
}

function replyLines(reply: Reply): readonly string[] {
  switch (reply.status) {
    case "done": {
      const repeats =
        reply.repeats === undefined ? "" : ` (it had been done at ${reply.repeats}; nothing ran now)`;
      const output =
        reply.output === null ? [] : JSON.stringify(reply.output, null, 2).split("\n").map(neutralLine);
      return [neutralLine(`done  ${reply.request}  ${reply.summary}${repeats}`), ...output];
    }
    case "failed":
      return [neutralLine(`failed  ${reply.request}  ${reply.code}: ${reply.message}`)];
    case "unknown":
      return [
        neutralLine(`unknown  ${reply.request}  ${reply.message}`),
        neutralLine(`  nobody knows whether it ran; look, then: countersign resolve ${reply.request}`),
      ];
    case "pending":
      return [neutralLine(`pending  ${reply.ticket}  code ${reply.code ?? "not yet"}`)];
    case "refused": {
      const words = reply.reason === null ? [] : [neutralLine(`  "${reply.reason}"`)];
      const rules = reply.because.map((because) => neutralLine(`  because ${because}`));
      const state = reply.deniedBy === "person" ? "denied" : "refused";
      const request = reply.request === null ? "" : `${reply.request}  `;
      return [
        neutralLine(`${state}  ${request}${reply.code}: ${reply.message}`),
        ...words,
        ...rules,
        neutralLine(`  ${reply.advice}`),
      ];
    }
  }
}

/** Opens the home and asks its gate, as this account and the agent that was named. */
export function askInHome(home: Home, caller: Caller, signal: AbortSignal): Asking {
  return {
    where: home.settings.home,
    call(call) {
      const tool = home.tools.find(({ name }) => name === call.tool);
      const name = tool === undefined ? "justification" : justificationOf(tool);
      const said = call.justification === null ? {} : { [name]: call.justification };
      return home.gate.call(
        { tool: call.tool, arguments: { ...call.arguments, ...said }, caller, callId: call.callId },
        { signal, holdMs: 0 },
      );
    },
    outcome: (ticket, waitMs) => home.gate.wait(ticket, caller, { signal, holdMs: waitMs }),
    close: () => home.close(),
  };
}
