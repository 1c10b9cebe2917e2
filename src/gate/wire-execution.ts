import { createExecutor, type Executor, type ExecutorParts } from "../execution/execution.ts";
import { createLeaseKeeper, type LeaseKeeper } from "../execution/lease.ts";
import { createReader, type Reader } from "../execution/read.ts";
import { createRecovery, type Recovery } from "../execution/recover.ts";
import type { GateParts } from "./parts.ts";
import { recheck } from "./recheck.ts";

/** What running needs of the gate. */
export type ExecutionWiring = Pick<
  GateParts,
  | "clock"
  | "owner"
  | "state"
  | "store"
  | "regime"
  | "log"
  | "mask"
  | "deadlines"
  | "clockIsBehind"
  | "hasSteward"
> &
  Pick<ExecutorParts, "catchUp" | "context">;

/** The executor with its recovery and its leases, on the policy and the tools that run now. */
export function wireExecution(parts: ExecutionWiring): {
  readonly executor: Executor;
  readonly reader: Reader;
  readonly recovery: Recovery;
  readonly leases: LeaseKeeper;
} {
  const { clock, owner, state, store, regime, log, mask, deadlines, catchUp, hasSteward, context } = parts;
  const tool: ExecutorParts["tool"] = (name) => regime.current().tools.get(name) ?? null;
  const executorParts: ExecutorParts = {
    clock,
    owner,
    state,
    blobs: store.blobs,
    log,
    catchUp,
    isPastGrant: (execution) => deadlines.isPast("grant", execution.request, execution.executeBy),
    append: store.append,
    policy: () => ({ revision: regime.current().policy.revision }),
    async recheck(execution) {
      await catchUp();
      // Before anything is looked at: what moves from here on makes the claim conflict.
      const policySeq = regime.expects(regime.current());
      const record = state.requests.open.get(execution.request);
      if (record === undefined) return { verdict: "not_now", policySeq };
      return { ...(await recheck(parts, record)), policySeq };
    },
    hasSteward,
    tool,
    context,
    mask: (value) => mask.json(value),
    maskText: (text) => mask.text(text),
  };
  const executor = createExecutor(executorParts);
  return {
    executor,
    reader: createReader(executorParts),
    recovery: createRecovery(executorParts, executor),
    leases: createLeaseKeeper({
      clock,
      state: state.executions,
      blobs: store.blobs,
      log,
      append: store.append,
      tool,
      context,
    }),
  };
}
