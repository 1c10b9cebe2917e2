import { createHash } from "node:crypto";
import { canonicalCopy, type JsonObject } from "../base/canonical-json.ts";
import { parseTimestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import type { Result } from "../base/result.ts";
import { CountersignError } from "../errors.ts";
import type { AdoptedState } from "../policy/adopted.ts";
import type { Policy, ToolFacts } from "../policy/policy.ts";
import type { BlobStore } from "../store/store.ts";
import type { Tool } from "../tool.ts";

/** What runs: the adopted policy, compiled, and the tools over the adopted registrations (P6). */
export interface Regime {
  readonly policy: Policy;
  readonly tools: ReadonlyMap<string, Tool>;
  readonly registry: Digest;
  readonly registrations: JsonObject;
  /** Of the policy's text: a file with the same one proposes nothing. */
  readonly textSha256: string;
  /** Entry that adopted it. */
  readonly seq: number;
  /** Time of that entry, epoch milliseconds. */
  readonly adoptedAt: number;
}

export interface RegimeParts {
  readonly state: AdoptedState;
  readonly blobs: BlobStore;
  /** Errors as lines with their places. */
  loadPolicy(text: string, tools: readonly ToolFacts[]): Result<Policy, readonly string[]>;
  makeTools(registrations: JsonObject): readonly Tool[] | Promise<readonly Tool[]>;
}

export interface RegimeHolder {
  /** @throws CountersignError `POLICY_NOT_ADOPTED` */
  current(): Regime;
  /** Loads what was adopted meanwhile; cheap where nothing was. */
  refresh(): Promise<void>;
  /**
   * What an append that rests on this regime expects of the subject `policy`. The fold may know of an adoption that is
   * not loaded yet, or that came while a preview ran: such an append conflicts, and is decided again (P6).
   */
  expects(regime: Regime): number | null;
  /** Called with each regime after it took over. */
  onChange(listener: (regime: Regime) => void): void;
}

export const textSha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

export const toolFacts = (tools: Iterable<Tool>): readonly ToolFacts[] =>
  Array.from(tools, ({ name, inputSchema, fixedEffect }) => ({ name, inputSchema, fixedEffect }));

export function createRegimeHolder(parts: RegimeParts): RegimeHolder {
  let regime: Regime | null = null;
  let loading: Promise<void> | null = null;
  const listeners: ((regime: Regime) => void)[] = [];

  const load = async (): Promise<void> => {
    for (;;) {
      const adopted = parts.state.current;
      if (adopted === null || adopted.seq === regime?.seq) return;
      const text = new TextDecoder().decode(await parts.blobs.get("policy", adopted.text));
      const registered = new TextDecoder().decode(await parts.blobs.get("registry", adopted.registrations));
      const registrations = canonicalCopy(JSON.parse(registered) as JsonObject);
      const tools = await parts.makeTools(registrations);
      const policy = parts.loadPolicy(text, toolFacts(tools));
      if (!policy.ok) {
        throw new CountersignError(
          "POLICY_INVALID",
          `the adopted policy does not load here: ${policy.error[0] ?? ""}`,
          {
            hint: "an older countersign may be reading a newer policy; run the version that adopted it",
            details: { errors: policy.error },
          },
        );
      }
      if (policy.value.revision !== adopted.revision) {
        throw new CountersignError("POLICY_INVALID", "the adopted policy resolves to another revision here", {
          hint: "run the countersign version that adopted it, or adopt the policy again with this one",
        });
      }
      regime = {
        policy: policy.value,
        tools: new Map(tools.map((tool) => [tool.name, tool])),
        registry: adopted.registry,
        registrations,
        textSha256: textSha256(text),
        seq: adopted.seq,
        adoptedAt: parseTimestamp(adopted.at),
      };
      for (const listener of listeners) listener(regime);
    }
  };

  return {
    current() {
      if (regime !== null) return regime;
      throw new CountersignError("POLICY_NOT_ADOPTED", "no policy has been adopted in this home", {
        hint: "make the first approver and policy: countersign init",
      });
    },
    refresh: () => {
      if (loading === null && parts.state.current?.seq === regime?.seq) return Promise.resolve();
      loading ??= load().finally(() => {
        loading = null;
      });
      return loading;
    },
    expects: ({ seq }) => (parts.state.current?.seq === seq ? parts.state.newestSeq : seq),
    onChange(listener) {
      listeners.push(listener);
    },
  };
}
