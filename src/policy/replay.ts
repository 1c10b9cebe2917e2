import { canonicalJson } from "../base/canonical-json.ts";
import type { Digest } from "../base/digest.ts";
import type { Policy, PolicyInput } from "./policy.ts";
import type { Requirement, RuleMatch, VerdictKind } from "./verdict.ts";

// A recorded verdict, derived again. The same policy text and the same inputs give the same verdict, byte for byte; a
// difference means that one of the three is not what it was, or that this release decides otherwise.

/** What the log holds of a verdict; a member that is absent was not recorded. */
export interface RecordedVerdict {
  readonly verdict: VerdictKind;
  readonly rules: readonly RuleMatch[];
  readonly because: readonly string[];
  readonly requirement?: Requirement | null;
  readonly requirementDigest?: Digest | null;
}

/** One sentence for each part of the verdict that comes out otherwise now; empty where all are equal. */
export function replayVerdict(
  policy: Pick<Policy, "evaluate">,
  input: PolicyInput,
  recorded: RecordedVerdict,
): readonly string[] {
  const again = policy.evaluate(input);
  const parts = [
    ["verdict", recorded.verdict, again.verdict],
    ["rules", recorded.rules, again.rules],
    // As short as an entry holds them.
    ["because", recorded.because, again.because.map((text) => text.slice(0, LONGEST_BECAUSE))],
    ["requirement", recorded.requirement, again.requirement],
    ["requirement digest", recorded.requirementDigest, again.requirementDigest],
  ] as const;
  const differences: string[] = [];
  for (const [what, then, now] of parts) {
    if (then === undefined) continue;
    const [was, is] = [canonicalJson(then), canonicalJson(now)];
    if (was !== is) differences.push(`${what}: recorded ${cut(was)}, now ${cut(is)}`);
  }
  return differences;
}

const LONGEST_BECAUSE = 500;
const LONGEST_SHOWN = 300;
const cut = (text: string): string =>
  text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN - 3)}...` : text;

const MASK = /\[masked:[a-z-]{1,32}:[0-9a-f]{4}\]/g;

/** How many masks stand in place of a value that the verdict may have rested on. */
export const masksIn = (value: unknown): number => canonicalJson(value).match(MASK)?.length ?? 0;
