import type { Clock } from "../base/clock.ts";
import type { Json } from "../base/canonical-json.ts";
import type { RequestId } from "../base/id.ts";
import type { AppendResult, Batch, BlobStore } from "../store/store.ts";
import type { Tool } from "../tool.ts";
import type { ContextParts, ExecutorParts, OperationsLog } from "./execution.ts";
import type { ExecutionsState, OpenLease } from "./executions.ts";
import { withinTime } from "./time-limit.ts";

// X3. A lease is retried until it is ended, and survives restarts; an unknown outcome keeps its lease.

const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 300_000;
const AT_ONCE = 8;

export interface LeaseParts {
  readonly clock: Clock;
  readonly state: ExecutionsState;
  readonly blobs: BlobStore;
  readonly log: OperationsLog;
  append(batch: Batch): Promise<AppendResult>;
  tool(name: string): Tool | null;
  context: (parts: ContextParts) => ReturnType<ExecutorParts["context"]>;
}

export interface LeaseKeeper {
  /**
   * Ends every lease that is due, not backing off and not being ended: it may be called again while a backend hangs.
   * Only the steward calls it.
   */
  endDue(): Promise<void>;
}

export function createLeaseKeeper(parts: LeaseParts): LeaseKeeper {
  /** Leases being ended. A backend that hangs must not keep open what the others granted. */
  const ending = new Set<string>();
  const retries = new Map<string, { attempts: number; notBefore: number }>();

  const end = async (lease: OpenLease): Promise<void> => {
    const attempts = (retries.get(lease.id)?.attempts ?? 0) + 1;
    try {
      await revoke(lease);
      await parts.append({
        expect: [],
        newKeys: [],
        entries: [
          {
            kind: "lease.ended",
            subject: lease.id,
            policy: null,
            data: { lease: lease.id, attempts, request: lease.opened.request },
          },
        ],
      });
    } catch (error) {
      const wait = Math.min(FIRST_RETRY_MS * 2 ** (attempts - 1), LONGEST_RETRY_MS);
      retries.set(lease.id, { attempts, notBefore: parts.clock.monotonic() + wait });
      parts.log.error(
        { leaseId: lease.id, requestId: lease.opened.request, attempts, err: error },
        "lease not ended",
      );
      return;
    }
    retries.delete(lease.id);
  };

  const revoke = async (lease: OpenLease): Promise<void> => {
    const tool = parts.tool(lease.opened.tool);
    if (tool === null || !tool.canRevoke) throw new Error(`no tool "${lease.opened.tool}" that can revoke`);
    const request = lease.opened.request as RequestId;
    const undo = await parts.blobs.get("undo", lease.opened.undo, request);
    const { ctx, dispose } = await parts.context({
      request,
      idempotencyKey: lease.id,
      mode: "execute",
      file: () => Promise.reject(new Error("a revocation has no sealed files")),
      progress: () => undefined,
    });
    try {
      await withinTime(tool.revoke(JSON.parse(new TextDecoder().decode(undo)) as Json, ctx), ctx.signal);
    } finally {
      await dispose();
    }
  };

  return {
    async endDue() {
      const started: Promise<void>[] = [];
      for (const lease of [...parts.state.leases.values()]) {
        if (ending.size >= AT_ONCE) break;
        if (ending.has(lease.id) || parts.clock.now() < lease.endsAt) continue;
        if (parts.clock.monotonic() < (retries.get(lease.id)?.notBefore ?? 0)) continue;
        ending.add(lease.id);
        started.push(end(lease).finally(() => ending.delete(lease.id)));
      }
      await Promise.all(started);
    },
  };
}
