import type { RequestId } from "../base/id.ts";
import { CountersignError } from "../errors.ts";
import type { View } from "../preview/view.ts";
import type { Store } from "../store/store.ts";
import type { HomeState } from "./state.ts";

/**
 * The document an approver is shown, checked against its digest.
 * @throws CountersignError `REQUEST_NOT_FOUND`, `BLOB_MISSING`, `BLOB_CORRUPT`
 */
export async function readView(
  state: HomeState,
  store: Pick<Store, "blobs">,
  request: RequestId,
): Promise<View> {
  const ref = state.requests.open.get(request)?.planned?.view;
  if (ref === undefined || ref === null) {
    throw new CountersignError("REQUEST_NOT_FOUND", `${request} is not open`, {
      hint: "see what it came to: countersign show <request>",
    });
  }
  return JSON.parse(new TextDecoder().decode(await store.blobs.get("view", ref))) as View;
}
