import { afterAll, describe, expect, test } from "vitest";
import { runToolCheck, TOOL_CHECKS, type ToolWorld } from "../../src/tool-kit.ts";

/** Runs a tool through the conformance kit, a test a check. `skips`: checks that are expected not to be made. */
export function describeToolContract(
  name: string,
  open: () => { readonly world: ToolWorld; close(): void },
  expected: { readonly skips?: readonly string[] } = {},
): void {
  describe(`the contract of ${name}`, () => {
    const opened = open();
    afterAll(() => opened.close());
    for (const check of TOOL_CHECKS) {
      test(check, async () => {
        const result = await runToolCheck(opened.world, check);
        expect(result.detail === "" || result.ok ? "" : result.detail).toBe("");
        expect(result.ok).toBe(true);
        expect(result.skipped).toBe((expected.skips ?? []).some((skip) => check.startsWith(skip)));
      });
    }
  });
}
