import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../src/base/canonical-json.ts";
import { assembleView, effectLine } from "../../src/preview/assemble.ts";
import type { Target } from "../../src/request/action-request.ts";

const target = (kind: string, id: string, environment: string): Target => ({ kind, id, environment });

describe("the effect line", () => {
  test("names verb, count, environment and id", () => {
    expect(effectLine("DEPLOY", [target("service", "web", "demo")])).toBe("DEPLOY 1 service · demo · web");
  });
  test("counts kinds apart, and orders what it lists", () => {
    expect(
      effectLine("DESTROY", [
        target("queue", "q", "prod"),
        target("database", "b", "prod"),
        target("database", "a", "stage"),
      ]),
    ).toBe("DESTROY 2 databases and 1 queue · prod, stage · a, b, q");
    expect(effectLine("SET", [target("policy", "a", "x"), target("policy", "b", "x")])).toBe(
      "SET 2 policies · x · a, b",
    );
    expect(
      effectLine("SET", [
        target("box", "a", "x"),
        target("box", "b", "x"),
        target("key", "k", "x"),
        target("key", "l", "x"),
      ]),
    ).toBe("SET 2 boxes and 2 keys · x · a, b, k and 1 more");
  });
  test("does not depend on the order in which a tool lists its targets", () => {
    const targets = [target("a", "1", "x"), target("b", "2", "y"), target("a", "3", "z")];
    expect(effectLine("DO", targets)).toBe(effectLine("DO", targets.toReversed()));
  });
});

test("a view holds what it was made of and nothing else, and is canonical JSON", () => {
  const extra = { id: "web", kind: "service", environment: "demo", note: "not for people" };
  const view = assembleView({
    tool: "deploy_service",
    effect: "write",
    targets: [extra],
    maskedArguments: '{"ref":"main"}',
    toolView: {
      summary: "s",
      verb: "DEPLOY",
      changes: [],
      counts: {},
      facts: {},
      warnings: [],
      documents: [],
      complete: true,
      reversible: "r",
      fidelity: "exact",
    },
    rules: [{ id: "a", because: null }],
    reasoning: { justification: "why", chain: null },
    isolation: "none",
  });
  expect(view.targets).toEqual([{ kind: "service", id: "web", environment: "demo" }]);
  expect(view.effectLine).toBe("DEPLOY 1 service · demo · web");
  expect(JSON.parse(canonicalJson(view))).toEqual(view);
});
