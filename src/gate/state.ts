import { consentsReducer } from "../consent/consents.ts";
import { credentialsReducer } from "../consent/credentials.ts";
import { executionsReducer } from "../execution/executions.ts";
import { createFold, type Fold } from "../log/fold.ts";
import { adoptedReducer } from "../policy/adopted.ts";
import { erasuresReducer } from "../request/erasures.ts";
import { requestsReducer } from "../request/requests.ts";

const REDUCERS = {
  adopted: adoptedReducer,
  requests: requestsReducer,
  consents: consentsReducer,
  credentials: credentialsReducer,
  executions: executionsReducer,
  erasures: erasuresReducer,
} as const;

/** The whole state of a home: what its entries say. */
export type HomeFold = Fold<typeof REDUCERS>;
export type HomeState = HomeFold["state"];

export const createHomeFold = (): HomeFold => createFold(REDUCERS);
