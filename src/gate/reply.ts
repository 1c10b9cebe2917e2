import type { Json, JsonObject } from "../base/canonical-json.ts";
import type { Timestamp } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import type { Caller } from "../request/principal.ts";
import type { Round } from "../request/round.ts";
import type { Effect } from "../request/action-request.ts";
import type { RefusalClass, RefusalCode } from "../request/refusal.ts";
import type { Tool } from "../tool.ts";

/** What a transport received. Untrusted, but for `caller`, which the transport authenticated. */
export interface Call {
  readonly tool: string;
  readonly arguments: unknown;
  readonly caller: Caller;
  /** Answers to what a fronted server asked; from a transport that has opened the state's seal, and nobody else (N1). */
  readonly round?: Round;
  /** The value of `_meta["dev.countersign/reasoning"]`; undefined where there was none. */
  readonly reasoning?: unknown;
  /** The host's own id of this call (`_meta["claudecode/toolUseId"]`, `_meta["dev.countersign/callId"]`). */
  readonly callId?: string;
  /**
   * W3C `traceparent` of the caller, checked by its form. It changes nothing of what runs and nobody is asked about it, so
   * it is in no digest and no entry; a fronted server gets it if this process makes the call.
   */
  readonly trace?: string;
}

/** How the caller is attached while its request is open. */
export interface Attachment {
  /** Aborted when the caller is gone; that detaches and withdraws nothing. */
  readonly signal: AbortSignal;
  /** Milliseconds to wait for people before a ticket is given instead. */
  readonly holdMs: number;
  /** What the caller's client can be asked on a server's behalf: its own claim, told to reads of other servers only. */
  readonly asks?: JsonObject;
  /** Called with one line as the request moves. */
  readonly progress?: (message: string) => void;
  /**
   * Set where the caller takes a handle and comes back by itself: milliseconds that a change may run before it is
   * given. What people are asked about is handed over at once; a read is stayed with for `holdMs`.
   */
  readonly handleAfterMs?: number;
  /** Milliseconds that the caller counts as attached after its answer, because it polls. */
  readonly lingerMs?: number;
  /** It only asks where the request stands, and fetches the result with a call of its own: the unmasked one waits for it. */
  readonly peeks?: boolean;
  /** The caller was told of no inquiry so far: one that is open ends the wait at once. */
  readonly toldNothing?: boolean;
  /** It is told where the request stands, and is not there for it: nothing is started, and a result comes masked. */
  readonly onlyLooks?: boolean;
}

/** What a caller is told. P4: before a grant it holds code, ticket, `because` and deadline, nothing of the preview. */
export type Reply =
  | {
      readonly status: "done";
      readonly request: RequestId;
      readonly summary: string;
      readonly output: Json;
      /** When it had been done, where this call repeats one that had ended and so did not run. */
      readonly repeats?: Timestamp;
    }
  | {
      readonly status: "failed";
      readonly request: RequestId;
      readonly code: string;
      readonly message: string;
    }
  | { readonly status: "unknown"; readonly request: RequestId; readonly message: string }
  | {
      readonly status: "pending";
      readonly ticket: RequestId;
      /** Six characters, for people to compare. Null until people are asked. */
      readonly code: string | null;
      readonly because: readonly string[];
      readonly deadline: Timestamp | null;
      /** One line: `waiting for 1 of 2 approvals`. */
      readonly waitingFor: string;
      /** What people ask the agent and it has not answered; in their own words. */
      readonly inquiries: readonly { readonly id: string; readonly text: string }[];
      readonly retryAfterMs: number;
    }
  | {
      readonly status: "refused";
      readonly request: RequestId | null;
      readonly code: RefusalCode;
      readonly class: RefusalClass;
      readonly deniedBy: "policy" | "person" | "gate";
      readonly message: string;
      readonly because: readonly string[];
      /** The denying person's own words. */
      readonly reason: string | null;
      readonly advice: string;
      /** Milliseconds after which the same call may be tried again; null: not as it is. */
      readonly retryAfterMs: number | null;
    };

/** A gated tool as MCP clients see it. */
export interface PublishedTool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** JSON Schema 2020-12 with the `justification` property added. */
  readonly inputSchema: Readonly<Record<string, Json>>;
  readonly outputSchema: Readonly<Record<string, Json>>;
  readonly annotations: {
    readonly title: string;
    readonly readOnlyHint: boolean;
    readonly destructiveHint: boolean;
    readonly idempotentHint: boolean;
    readonly openWorldHint: boolean;
  };
  /** Another server's tool: its definition as it was accepted, whose other members are published as they are. */
  readonly upstream?: Tool["upstream"];
}

/** What transports need of the gate. */
export interface Gate {
  tools(): readonly PublishedTool[];
  /** Called when an adoption changed which tools there are, or what they are. Gives the way to stop listening. */
  onToolsChanged(listener: () => void): () => void;
  call(call: Call, attachment: Attachment): Promise<Reply>;
  /**
   * The refusal that a call would get because its token does not permit its effect, and which effect that is; null:
   * make the call. For transports that have a way of their own to say so.
   */
  beyondPermit(call: Call): Promise<{ readonly reply: Reply; readonly effect: Effect } | null>;
  /**
   * Counts a look at what no request comes of, such as the list of a fronted server's resources. The refusal where its
   * caller looks too often, or with a token that is good for no reading; null: look.
   */
  look(caller: Caller): Promise<Reply | null>;
  /** Attaches again to a request by its ticket. Only its own principal and agent get an answer. */
  wait(ticket: string, caller: Caller, attachment: Attachment): Promise<Reply>;
  /** When a request last moved, for a caller that was answered about it; null where nothing is known of it. */
  movedAt(ticket: string): Promise<Timestamp | null>;
  /** Answers a person's question about an own request: once, and as a claim. The reply is where the request stands. */
  answer(
    ticket: string,
    caller: Caller,
    answer: { readonly inquiry: string; readonly text: string },
  ): Promise<Reply>;
  /** The caller takes its request back; refused once it was claimed. */
  withdraw(ticket: string, caller: Caller, reason: string | null): Promise<Reply>;
}
