import type { Json, JsonObject } from "../base/canonical-json.ts";
import type { GrantId, RequestId } from "../base/id.ts";
import { keysAfterRead } from "../request/recognition.ts";
import type { KeyHold } from "../log/entry.ts";
import type { SealedFile, Tool } from "../tool.ts";
import type { ExecutorParts, Ran } from "./execution.ts";
import { appendOutcome } from "./append-outcome.ts";
import { oneLine, outcomeOfReadError, settledEntry, type Outcome } from "./outcome.ts";
import { keepResult, plainJson } from "./result.ts";
import { withinTime } from "./time-limit.ts";

// An allowed read that the operator vouches for (design §11).
//
//   X1 holds for whatever may have an effect. A read has none, so it may run while its claim and dispatch are flushed;
//   its caller is answered when they, and the documents they name, are on the disk (L1). What it came to rides with the
//   next batch. A process that dies before leaves a dispatch without outcome, and recovery says so (execution/recover.ts).
//   G1 stands: the grant is minted from an allow verdict before this is called.
//   D2 stands: the tool gets the plan, which of a read is its canonical arguments.

/** True for a read by the word of whoever installed the tool, or vouched for it where another server has it. */
export const isVouchedRead = (tool: Pick<Tool, "fixedEffect">): boolean => tool.fixedEffect === "read";

export interface ReadRun {
  readonly request: RequestId;
  readonly grant: GrantId;
  readonly tool: Tool;
  readonly plan: Json;
  readonly files: readonly SealedFile[];
  /** What an outcome is told of in one line. */
  readonly summary: string;
  readonly progress: (message: string) => void;
  /** What the client of whoever is attached can be asked. */
  readonly asks: JsonObject;
}

export interface Reader {
  /** Runs it now. Never rejects: a read that threw has failed. */
  run(read: ReadRun): Promise<Ran>;
  /** Records what it came to, behind the dispatch; resolves when that is on the disk. */
  record(read: ReadRun, ran: Ran, keys: readonly KeyHold[], dispatchedSeq: number): Promise<void>;
}

export function createReader(
  parts: Pick<
    ExecutorParts,
    "clock" | "blobs" | "log" | "append" | "policy" | "context" | "mask" | "maskText"
  >,
): Reader {
  const { log, maskText } = parts;

  const run: Reader["run"] = async ({ request, grant, tool, plan, files, summary, progress, asks }) => {
    const failed = (error: unknown): Ran => {
      log.warn({ requestId: request, err: error }, "read threw");
      return { outcome: outcomeOfReadError(error, oneLine(error, maskText)), output: null };
    };
    try {
      const { ctx, dispose } = await parts.context({
        ...{ request, idempotencyKey: grant, mode: "execute", progress, asks },
        file(name) {
          const found = files.find((file) => file.name === name);
          return found === undefined
            ? Promise.reject(new Error(`a read has no file "${name}"`))
            : Promise.resolve(found.bytes);
        },
      });
      const work = tool.execute(plan, ctx);
      try {
        const { output } = await withinTime(work, ctx.signal);
        const outcome: Outcome = { kind: "done", summary, error: null };
        return { outcome, output: plainJson(parts, request, output) };
      } catch (error) {
        return failed(error);
      } finally {
        void work.then(dispose, dispose);
      }
    } catch (error) {
      return failed(error);
    }
  };

  return {
    run,
    async record({ request, grant }, { outcome, output }, keys, dispatchedSeq) {
      const kept = await keepResult(parts, request, { output, undo: null }, { rides: true });
      const blobs = { output: kept.output, undo: null };
      const appended = await appendOutcome(parts, request, () => {
        const now = parts.clock.now();
        const entry = settledEntry(
          { id: request, keys, received: { effect: "read" } },
          grant,
          parts.policy().revision,
          outcome,
          blobs,
          now,
        );
        return {
          expect: [{ subject: request, newest: dispatchedSeq }],
          newKeys: [],
          entries: [{ ...entry, keys: keysAfterRead(keys, now) }],
          rides: true,
        };
      });
      await kept.durable;
      if (!appended.ok)
        log.warn({ requestId: request }, "the outcome of a read was settled by somebody else");
    },
  };
}
