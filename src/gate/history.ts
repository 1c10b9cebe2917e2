import type { RequestId } from "../base/id.ts";
import type { Entry } from "../log/entry.ts";
import { isClosedPhase, phaseAfter } from "../request/requests.ts";
import type { Phase } from "../request/summary.ts";
import type { Store } from "../store/store.ts";

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
