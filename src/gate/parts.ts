import type { Clock } from "../base/clock.ts";
import type { Result } from "../base/result.ts";
import type { Limits } from "../config/settings.ts";
import type { ClaimOwner } from "../execution/entries.ts";
import type { Executor, OperationsLog } from "../execution/execution.ts";
import type { Reader } from "../execution/read.ts";
import type { View, ToolView } from "../preview/view.ts";
import type { RefusalCode } from "../request/refusal.ts";
import type { Store } from "../store/store.ts";
import type { Preview } from "../preview/preview.ts";
import type { Masker, Received } from "./evidence.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Limiter } from "./limits.ts";
import type { RegimeHolder } from "./regime.ts";
import type { Assurance, RuleMatch } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import type { HomeState } from "./state.ts";
import type { Traces } from "./traces.ts";
import type { Wakeups } from "./wakeups.ts";

/** Everything the steps of the pipeline share. Wired in compose.ts. */
export interface GateParts {
  readonly clock: Clock;
  readonly store: Store;
  readonly state: HomeState;
  /** The subject that holds a recognition key, or null. */
  holder(key: string, now: number): string | null;
  readonly regime: RegimeHolder;
  readonly executor: Executor;
  readonly reader: Reader;
  readonly owner: ClaimOwner;
  readonly limits: Limits;
  readonly limiter: Limiter;
  readonly wakeups: Wakeups;
  readonly mask: Masker;
  /** The home's `mask` key, for recognition keys. */
  readonly secret: Uint8Array;
  readonly isolation: "service" | "none";
  readonly log: OperationsLog;
  /** Runs the tool's preview within its caps, whether or not the caller stays; a refusal is in our words (P4). */
  preview(
    received: Received,
    progress: (message: string) => void,
  ): Promise<
    Result<Preview, { readonly code: RefusalCode; readonly message: string; readonly detail: string }>
  >;
  /** The document people are shown, effect line first. */
  view(parts: {
    readonly received: Received;
    readonly toolView: ToolView;
    readonly rules: readonly RuleMatch[];
    readonly maskKeys: readonly string[];
  }): View;
  readonly deadlines: Deadlines;
  readonly traces: Traces;
  /** The strongest proof that the person could give at `at` (epoch ms), passkeys of the log included; null: none. */
  strongestProof(person: PersonId, at: number): Assurance | null;
  /** Bytes free on the disk of the log; cached for a second. */
  freeBytes(): Promise<number>;
  clockIsBehind(): boolean;
  /** True where this process is the steward or one lives. */
  hasSteward(): Promise<boolean>;
}
