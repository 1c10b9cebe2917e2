import type { JsonObject } from "../base/canonical-json.ts";
import type { RequestId } from "../base/id.ts";
import { isFault } from "../errors.ts";
import type { Entry } from "../log/entry.ts";
import type { PersonId, Requester } from "../request/principal.ts";
import type { Reasoning } from "../request/reasoning.ts";
import type { RequestEntries } from "../request/entries.ts";
import { actionKeyIn } from "../request/recognition.ts";
import { splitRound } from "../request/round.ts";
import type { RequestRecord } from "../request/requests.ts";
import { justificationOf } from "./publish.ts";
import type { GateParts } from "./parts.ts";
import type { Call, Reply } from "./reply.ts";

// What a person asked for again when they settled that it had not run: a new request with the same sealed arguments,
// for the same requester, that goes the whole way through the gate (X2: nothing is re-run, it is asked for anew).
//
//   C1. The person who wanted it is in the chain of the new request, so they can't be the one who approves it.
//   The wish stands in the settlement. If the process dies between the two, the steward finds it there.

/** A wish older than this is not brought about any more: the agent may call again, its key is free. */
export const AGAIN_WITHIN_MS = 600_000;

/** What a repeat adds to a call; never taken from a caller. */
export interface Repeat {
  readonly follows: RequestId;
  /** People who join the chain of the requester. */
  readonly chain: readonly PersonId[];
  /** Under which its requester finds it by calling again: the wish changes the chain, not whose request it is. */
  readonly actionKey: string | null;
}

export interface Again {
  /**
   * Makes sure that the arguments are still there.
   * @throws CountersignError `BLOB_MISSING`
   */
  check(record: RequestRecord): Promise<void>;
  /** Asks for it now, or leaves it to the steward of another process: null. */
  start(request: RequestId): Promise<Reply | null>;
  /** For the steward: what was wished for and not brought about. */
  sweep(): Promise<void>;
}

/** A person who is to join a requester's chain, once, nearest last. */
export const withChain = (requester: Requester, chain: readonly PersonId[]): Requester => ({
  ...requester,
  chain: [...new Set([...requester.chain, ...chain])],
});

export function createAgain(
  parts: Pick<GateParts, "clock" | "state" | "store" | "regime" | "log" | "hasSteward">,
  call: (call: Call, repeat: Repeat) => Promise<Reply>,
  isSteward: () => boolean,
): Again {
  const { state, store } = parts;
  const tried = new Set<RequestId>();
  const json = async <T>(
    tag: "arguments" | "reasoning",
    ref: RequestEntries["request.received"]["arguments"],
    sealedFor?: RequestId,
  ) => JSON.parse(new TextDecoder().decode(await store.blobs.get(tag, ref, sealedFor))) as T;

  /** The agent's words as they were recorded: policies may want some, and they are still its own. */
  const reasoningOf = async ({ reasoning }: RequestEntries["request.received"]): Promise<Reasoning> => {
    const none = { justification: null, chain: null };
    if (reasoning === null) return none;
    return json<Reasoning>("reasoning", reasoning).catch((error: unknown) => {
      if (isFault(error, "BLOB_MISSING")) return none;
      throw error;
    });
  };

  const run = async (request: RequestId): Promise<Reply | null> => {
    tried.add(request);
    let received: Entry<"request.received"> | null = null;
    let resolved: Entry<"execution.resolved"> | null = null;
    for await (const { entry } of store.entriesOf(request)) {
      if (entry.kind === "request.received") received = entry;
      if (entry.kind === "execution.resolved") resolved = entry;
    }
    const person = resolved?.data.signed?.statement.approver;
    if (received === null || person === undefined) return null;
    const { data } = received;
    const { justification, chain } = await reasoningOf(data);
    const tool = parts.regime.current().tools.get(data.tool);
    const sealed = await json<JsonObject>("arguments", data.arguments, request);
    const { args: own, round } = splitRound(sealed);
    const justified =
      justification === null || tool === undefined ? {} : { [justificationOf(tool)]: justification };
    const { principal, agent } = data.requester;
    return call(
      {
        tool: data.tool,
        arguments: { ...own, ...justified },
        ...(round === null ? {} : { round }),
        caller: {
          principal: { kind: "named", id: principal.id },
          agent,
          transport: data.transport,
          client: data.client,
        },
        ...(chain === null ? {} : { reasoning: chain }),
      },
      {
        follows: request,
        chain: [...data.requester.chain, person],
        actionKey: actionKeyIn(received.keys ?? []),
      },
    );
  };

  return {
    async check(record) {
      await json("arguments", record.received.arguments, record.id);
    },
    async start(request) {
      // The process that serves the home executes there too; a command that ends in a second is no place for it.
      return !isSteward() && (await parts.hasSteward()) ? null : run(request);
    },
    async sweep() {
      const now = parts.clock.now();
      for (const [request, { at }] of [...state.executions.again]) {
        if (tried.has(request) || now - at > AGAIN_WITHIN_MS) continue;
        await run(request).catch((error: unknown) => {
          parts.log.error({ requestId: request, err: error }, "a request could not be asked for again");
        });
      }
    },
  };
}
