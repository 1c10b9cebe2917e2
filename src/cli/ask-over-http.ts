import * as z from "zod";
import { neutralLine } from "../base/text.ts";
import { CountersignError, isFault } from "../errors.ts";
import type { Reply } from "../gate/reply.ts";
import { REFUSALS, type RefusalCode } from "../request/refusal.ts";
import type { Asking, Call } from "./ask-action.ts";
import { pause } from "./pause.ts";

// Asks through the HTTP API of a gateway. What comes back is read as the gateway's word on this request, and shown
// neutralised like everything else; a connection that breaks is made again, because the request goes on without it.

const problem = z.looseObject({
  status: z.number(),
  code: z.string(),
  detail: z.string().optional(),
  title: z.string().optional(),
  hint: z.string().optional(),
  request: z.string().optional(),
  retry_after_ms: z.number().optional(),
});
const reply = z.looseObject({ status: z.enum(["done", "failed", "unknown", "pending", "refused"]) });

/** How often a broken connection is made again before the wait goes on. */
const RETRY_MS = 2_000;
const TRIES = 30;
/** The gateway waits this long at most; the answer has to travel. */
const SLACK_MS = 15_000;

export function askOverHttp(
  at: { readonly url: string; readonly token: string },
  signal: AbortSignal,
): Asking {
  const base = `${at.url.replace(/\/+$/, "")}/api/v1`;

  const once = async (path: string, waitMs: number, call?: Call): Promise<Reply> => {
    const response = await fetch(`${base}${path}?wait=${Math.ceil(waitMs / 1_000)}`, {
      method: call === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${at.token}`,
        ...(call === undefined ? {} : { "content-type": "application/json", "idempotency-key": call.callId }),
      },
      ...(call === undefined
        ? {}
        : {
            body: JSON.stringify({
              tool: call.tool,
              arguments: call.arguments,
              ...(call.justification === null ? {} : { justification: call.justification }),
            }),
          }),
      // A token never follows a gateway that points elsewhere.
      redirect: "error",
      signal: AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(waitMs) + SLACK_MS)]),
    });
    return read(response, await response.text());
  };

  const patiently = async (path: string, waitMs: number, call?: Call): Promise<Reply> => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await once(path, waitMs, call);
      } catch (error) {
        signal.throwIfAborted();
        // The call id makes sending again harmless: the gate knows it.
        if (!isBroken(error)) throw error;
        if (tries >= (call === undefined ? TRIES : 2)) throw unreachable(at.url, error);
        await pause(RETRY_MS, signal);
      }
    }
  };

  return {
    where: at.url,
    call: (call) => patiently("/requests", 0, call),
    outcome: (ticket, waitMs) => patiently(`/requests/${encodeURIComponent(ticket)}/outcome`, waitMs),
    close: () => Promise.resolve(),
  };
}

function read(response: Response, text: string): Reply {
  const document = json(text);
  if (response.ok) {
    const told = reply.safeParse(document);
    if (told.success) return told.data as unknown as Reply;
    throw new CountersignError("GATEWAY_REFUSED", "what answers there is no gateway of this release", {
      hint: "check --url: it is the address for people, such as http://localhost:7332",
    });
  }
  const said = problem.safeParse(document);
  // Something in front of the gateway, or the gateway while it starts.
  if (!said.success || response.status >= 500 || said.data.code === "too_many") {
    throw new CountersignError("GATEWAY_UNREACHABLE", `the gateway answered ${response.status}`);
  }
  const { code, detail, title, hint, request, retry_after_ms: retryAfterMs } = said.data;
  if (code in REFUSALS) {
    const known = REFUSALS[code as RefusalCode];
    return {
      ...{ status: "refused", code: code as RefusalCode, class: known.class, deniedBy: "gate" },
      ...{ request: (request ?? null) as never, message: detail ?? "", because: [], reason: null },
      ...{ advice: known.advice, retryAfterMs: retryAfterMs ?? null },
    };
  }
  throw new CountersignError(
    "GATEWAY_REFUSED",
    neutralLine(`the gateway did not take the request: ${detail ?? title ?? ""} (${code})`),
    hint === undefined ? {} : { hint: neutralLine(hint) },
  );
}

const json = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

/** The way to the gateway broke: refused, cut, silent, or answered by something in front of it. */
const isBroken = (error: unknown): boolean =>
  isFault(error, "GATEWAY_UNREACHABLE") ||
  // What fetch throws where the network fails.
  error instanceof TypeError ||
  (error instanceof DOMException && error.name === "TimeoutError");

const unreachable = (url: string, cause: unknown): CountersignError =>
  new CountersignError("GATEWAY_UNREACHABLE", `no gateway answers at ${neutralLine(url)}`, {
    hint: "is it running? countersign start; the request, if it was made, goes on without us",
    cause,
  });
