import { timestamp, type Timestamp } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import type { Entry } from "../log/entry.ts";
import {
  isClosedPhase,
  phaseAfter,
  rememberEnding,
  type Ending,
  type RequestsState,
} from "../request/requests.ts";
import type { Phase } from "../request/summary.ts";
import type { Store } from "../store/store.ts";
import type { GateParts } from "./parts.ts";

/** How a request ended, for the one who asks again: from memory where it is fresh, else from the log; null: not ended. */
export async function endingOf(
  store: Pick<Store, "entriesOf">,
  requests: RequestsState,
  request: RequestId,
): Promise<Ending | null> {
  const fresh = requests.endings.get(request);
  if (fresh !== undefined) return fresh;
  const entries = await historyOf(store, request);
  const received = entries.find((entry) => entry.kind === "request.received");
  const last = entries.at(-1);
  if (received === undefined || last === undefined) return null;
  const { effect, requester } = received.data;
  const ending: Ending = { effect, requester, keys: received.keys ?? [], last };
  if (isClosedPhase(entries.reduce<Phase>(phaseAfter, "received"))) rememberEnding(requests, request, ending);
  return ending;
}

/** The entries of one request, oldest first; stops reading once the request is closed. */
export async function historyOf(
  store: Pick<Store, "entriesOf">,
  request: RequestId,
): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  let phase: Phase = "received";
  for await (const { entry } of store.entriesOf(request)) {
    entries.push(entry);
    phase = phaseAfter(phase, entry);
    if (isClosedPhase(phase)) break;
  }
  return entries;
}

/** The time of a request's newest entry; null where there is none. */
export async function movedAt(
  { state: { requests }, store }: Pick<GateParts, "state" | "store">,
  request: RequestId,
): Promise<Timestamp | null> {
  const known = requests.open.get(request) ?? requests.recent.get(request);
  if (known !== undefined) return timestamp(known.updatedAt);
  return (await endingOf(store, requests, request))?.last.time ?? null;
}
