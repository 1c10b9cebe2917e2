import type { Gate } from "../../gate/reply.ts";
import type { Caller } from "../../request/principal.ts";
import type { OauthDoor } from "./identify.ts";
import { paramsOf, requestIdOf, type Message } from "./message.ts";
import { renderReply } from "./render.ts";
import { parseToolCall } from "./tool-call.ts";

// A call whose token does not permit its effect, said as HTTP says it, so that the client can fetch another token and
// repeat the call (RFC 6750 §3.1). That has to be known before the answer's stream is opened; the gate refuses such a
// call in any case. A static token can't be stepped up: its holder gets the refusal as a tool's result.

export interface StepUp {
  readonly challenge: string;
  readonly body: object;
}

/** Null where the call is to be made. */
export async function stepUpFor(
  oauth: OauthDoor,
  gate: Pick<Gate, "beyondPermit">,
  message: Message,
  caller: Caller,
): Promise<StepUp | null> {
  if (message["method"] !== "tools/call") return null;
  const parsed = parseToolCall(paramsOf(message));
  if (!parsed.ok) return null;
  const { tool, arguments: args, reasoning } = parsed.call;
  const beyond = await gate.beyondPermit({
    tool,
    arguments: args,
    caller,
    ...(reasoning === undefined ? {} : { reasoning }),
  });
  if (beyond === null || beyond.reply.status !== "refused") return null;
  const { content, structuredContent } = renderReply(beyond.reply);
  const [first] = content;
  return {
    challenge: oauth.stepUp(beyond.effect, caller.permits ?? [], `a ${beyond.effect} needs its own scope`),
    body: {
      jsonrpc: "2.0",
      id: requestIdOf(message),
      error: {
        code: -32600,
        message: first?.type === "text" ? first.text : beyond.reply.message,
        data: structuredContent,
      },
    },
  };
}
