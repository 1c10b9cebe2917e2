import { isId, type RequestId } from "../base/id.ts";
import { resolveRequester } from "../consent/requester.ts";
import { CountersignError, isFault, type FaultCode } from "../errors.ts";
import { claimedAgent, claimedPrincipal, type Caller } from "../request/principal.ts";
import type { RefusalCode } from "../request/refusal.ts";
import { keyOfRequester, requesterKey } from "../request/requests.ts";
import { createAnswer } from "./answer.ts";
import type { Repeat } from "./again.ts";
import type { Attend } from "./attend.ts";
import { createCommit } from "./commit.ts";
import type { Committed } from "./committed.ts";
import { policyInput } from "./evidence.ts";
import { beyondToken, takeIn, type Intake, type IntakeRefusal } from "./intake.ts";
import { movedAt } from "./history.ts";
import type { GateParts } from "./parts.ts";
import { createPublisher } from "./publish.ts";
import { createRecognise } from "./recognise.ts";
import type { Attachment, Call, Gate, PublishedTool, Reply } from "./reply.ts";
import type { Regime } from "./regime.ts";
import { refused } from "./resume.ts";
import { createWithdraw } from "./withdraw.ts";

// The pipeline, top to bottom (design §3).
//
//   G1. Nothing executes without a grant; the only ways out of here are a reply and the executor, which needs one.
//   L1. Everything that happens is an entry, durable before its consequence is visible outside.
//   Recognition comes before anything that costs or changes: a re-sent call is answered from the request that exists.

/** A policy that is replaced while a call is on its way is asked again; this often at most. */
const ATTEMPTS = 8;

/** What an agent is told of a log that can't be written; the cause is for the operator's log only (P4). */
const FAULT_REPLIES: Partial<Record<FaultCode, { readonly code: RefusalCode; readonly message: string }>> = {
  STORE_FULL: { code: "disk_low", message: "the gateway's disk is full" },
  STORE_CLOSED: { code: "gate_closed", message: "the gateway could not write its log and has closed" },
  ENTRY_FROM_FUTURE: {
    code: "clock_behind",
    message: "the gateway's clock jumped; nothing is written until it has held still for a few seconds",
  },
};

/** The gate, and the door for what a person wants asked for again, which no transport is given. */
export interface OpenedGate {
  readonly gate: Gate;
  again(call: Call, repeat: Repeat): Promise<Reply>;
}

export function createGate(parts: GateParts, attend: Attend): OpenedGate {
  const recognise = createRecognise(parts, attend);
  const commit = createCommit(parts, attend);
  const withdraw = createWithdraw(parts, attend);
  const answer = createAnswer(parts, attend);
  /** Calls that are being previewed, by action: a second one waits and is then recognised. */
  const inFlight = new Map<string, Promise<unknown>>();

  const take = async (call: Call, attachment: Attachment, repeat: Repeat | null = null): Promise<Reply> => {
    await parts.regime.refresh();
    let intake = takeIn(parts, parts.regime.current(), call, repeat);
    while (intake.ok && inFlight.has(intake.value.keys.action)) {
      await inFlight.get(intake.value.keys.action);
      // Minutes may have passed: who asks, and over which registrations, is read again.
      intake = takeIn(parts, parts.regime.current(), call, repeat);
    }
    if (!intake.ok) return turnAway(call, intake.error);

    const taken = intake.value;
    const { action } = taken.keys;
    // No await between looking and taking the place: of many that waited, one goes on.
    const work = settle(taken, call, attachment, repeat);
    const place = work.then(
      () => inFlight.delete(action),
      () => inFlight.delete(action),
    );
    inFlight.set(action, place);
    const committed = await work.catch((error: unknown): Committed => {
      if (!isFault(error, "ENTRY_TOO_LARGE")) throw error;
      const message = "what has to be recorded of this call does not fit into the log";
      return { reply: () => turnAway(call, { code: "call_too_large", message }, taken) };
    });
    return committed.reply();
  };

  /** The request this call is about: the one it repeats, or a new one. */
  const settle = async (
    first: Intake,
    call: Call,
    attachment: Attachment,
    repeat: Repeat | null,
  ): Promise<Committed> => {
    const known = await recognise(first, attachment);
    if (known !== null) return known;
    const room = await roomFor(first.received);
    if (room !== null) return { reply: () => turnAway(call, room, first) };
    let intake = first;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (call.trace !== undefined) parts.traces.keep(intake.received.id, call.trace);
      const committed = await pass(intake, attachment);
      if (committed !== "again") return committed;
      await parts.regime.refresh();
      // Under another policy the requester may be nobody, and the tool may act on another registration (C1, P6).
      const again = takeIn(parts, parts.regime.current(), call, repeat);
      if (!again.ok) return { reply: () => turnAway(call, again.error, intake) };
      intake = again.value;
      const taken = await recognise(intake, attachment, true);
      if (taken !== null) return taken;
    }
    throw new CountersignError(
      "POLICY_NOT_ADOPTED",
      "the policy changed faster than the call could be decided",
      {
        hint: "call again",
      },
    );
  };

  /** First pass, preview, second pass, commit. What comes back is ready to be waited for. */
  const pass = (intake: Intake, attachment: Attachment): Promise<Committed | "again"> => {
    const { received, regime } = intake;
    const first = regime.policy.evaluate(policyInput(received, null, parts.isolation));
    // Only a matching deny ends the call here: where nothing matched yet, a rule about the preview still may.
    const isFinal = first.rules.length > 0 || !first.open;
    if (first.verdict === "deny" && isFinal) return commit.refuse(intake, first);
    // C1: nobody is asked about it, so where nothing could still allow it a preview would be for nothing.
    if (intake.unresolved !== null && first.verdict === "hold" && !first.open)
      return commit.refuse(intake, first);
    const isRead = received.tool.effect(received.input) === "read";
    return isRead && first.verdict === "allow" && !first.open
      ? commit.read(intake, attachment)
      : commit.planned(intake, attachment);
  };

  const roomFor = async (received: Intake["received"]): Promise<IntakeRefusal | null> => {
    const who = keyOfRequester(received.requester);
    const isRead = received.tool.fixedEffect === "read";
    const rate = parts.limiter.take(who, isRead ? "readsPerMinute" : "heldPerMinute");
    if (!rate.ok) return limited(`more calls a minute than ${isRead ? "reads" : "changes"} are allowed`);
    const open = (parts.state.requests.openBy.get(who) ?? 0) - attend.ending(who);
    if (open >= parts.limits.openRequests) {
      return limited(`${parts.limits.openRequests} requests of this agent are open already`);
    }
    if ((await parts.freeBytes()) < parts.limits.minFreeBytes) {
      return { code: "disk_low", message: "the gateway's disk is nearly full; new calls are refused" };
    }
    if (parts.clockIsBehind())
      return { code: "clock_behind", message: "the gateway's clock is behind its own log" };
    return null;
  };

  /** A call that never became a request: an entry where a person would look for it, within the limits. */
  const turnAway = async (call: Call, refusal: IntakeRefusal, intake?: Intake): Promise<Reply> => {
    const principal = claimedPrincipal(call.caller.principal);
    const agent = claimedAgent(call.caller);
    // An agent's name that was not looked up may be a new one each time, so such calls count for the principal alone.
    // A full disk is not filled with entries that say so.
    const logged =
      refusal.code !== "rate_limited" &&
      refusal.code !== "disk_low" &&
      (intake !== undefined || parts.limiter.take(requesterKey(principal, ""), "heldPerMinute").ok);
    const request = logged ? await commit.attempt(call, refusal, principal, agent) : null;
    return refused({ request, code: refusal.code, deniedBy: "gate", message: refusal.message });
  };

  const guarded = async (work: () => Promise<Reply>): Promise<Reply> => {
    try {
      return await work();
    } catch (error) {
      const told = isFault(error) ? FAULT_REPLIES[error.code] : undefined;
      if (told !== undefined) {
        parts.log.error({ err: error }, "the log could not be written; nothing ran");
        return refused({ request: null, deniedBy: "gate", ...told });
      }
      throw error;
    }
  };

  /** Told before an answer is begun, so that a transport can say it in its own terms; nothing else is decided here. */
  const beyondPermit: Gate["beyondPermit"] = async (call) => {
    if (call.caller.permits === undefined) return null;
    await parts.regime.refresh();
    const intake = takeIn(parts, parts.regime.current(), call);
    if (intake.ok || intake.error.beyond === undefined) return null;
    const { error } = intake;
    return { reply: await guarded(() => turnAway(call, error)), effect: intake.error.beyond };
  };

  const look: Gate["look"] = async (caller) => {
    await parts.regime.refresh();
    if (caller.permits?.includes("read") === false) {
      const { code, message } = beyondToken("read", caller);
      return refused({ request: null, code, deniedBy: "gate", message });
    }
    const resolved = resolveRequester(parts.regime.current().policy, caller);
    const who = keyOfRequester(resolved.ok ? resolved.value : resolved.error.requester);
    if (parts.limiter.take(who, "listsPerMinute").ok) return null;
    const { code, message } = limited("more lists a minute than are looked up");
    return refused({ request: null, code, deniedBy: "gate", message });
  };

  const publish = createPublisher();
  /** Of the regime that runs: a gate with hundreds of tools does not put them into words for each call. */
  let published: { readonly regime: Regime; readonly tools: readonly PublishedTool[] } | null = null;
  const listeners = new Set<() => void>();
  let last: Regime["tools"] | null = null;
  parts.regime.onChange(({ tools }) => {
    const before = last;
    last = tools;
    // Most adoptions change rules and people only.
    if (before === null || areSame(before, tools)) return;
    for (const listener of listeners) listener();
  });

  const gate: Gate = {
    onToolsChanged(listener) {
      last ??= parts.regime.current().tools;
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    tools: () => {
      const regime = parts.regime.current();
      if (published?.regime !== regime)
        published = { regime, tools: Array.from(regime.tools.values(), publish) };
      return published.tools;
    },
    call: (call, attachment) => guarded(() => take(call, attachment)),
    beyondPermit,
    look,
    wait: (ticket: string, caller: Caller, attachment: Attachment) =>
      guarded(() => recognise.byTicket(ticket as RequestId, caller, attachment)),
    movedAt: async (ticket) => (isId("req", ticket) ? movedAt(parts, ticket) : null),
    answer: (ticket, caller, given) => guarded(() => answer(ticket as RequestId, caller, given)),
    withdraw: (ticket: string, caller: Caller, reason: string | null) =>
      guarded(() => withdraw(ticket as RequestId, caller, reason)),
  };
  return { gate, again: (call, repeat) => guarded(() => take(call, NOBODY, repeat)) };
}

const areSame = (some: Regime["tools"], others: Regime["tools"]): boolean =>
  some.size === others.size &&
  [...some].every(([name, { definition }]) => others.get(name)?.definition === definition);

/** Nobody is attached to what a person wants asked for again; its requester finds it by calling again. */
const NOBODY: Attachment = { holdMs: 0, signal: new AbortController().signal };

const limited = (message: string): IntakeRefusal => ({ code: "rate_limited", message });
