import { expect, test } from "vitest";
import { codeOf, type Question } from "../../src/consent/question.ts";
import { statementSummary } from "../../src/consent/summary.ts";

const digest = (byte: string) => `sha256:${byte.repeat(32)}` as const;
const question: Question = {
  typ: "countersign.question",
  v: 1,
  log: "log_01JD0000000000000000000000",
  request: "req_01JD0000000000000000000001",
  requester: {
    principal: { kind: "person", id: "ana" },
    agent: "claude-desktop",
    chain: [],
    owners: ["ana"],
  },
  tool: "deploy_service",
  tool_definition: digest("01"),
  arguments: digest("02"),
  targets: [{ kind: "service", id: "web", environment: "demo" }],
  plan: digest("ab"),
  files: [],
  view: digest("04"),
  reasoning: null,
  guard: "g",
  fidelity: "exact",
  requirement: digest("05"),
  execute: "on_approval",
  nonce: "00".repeat(16),
  asked_at: "2026-11-21T10:00:00.000Z",
  deadline: "2026-11-21T10:30:00.000Z",
};

test("the summary names tool, target, requester, plan and code", () => {
  expect(statementSummary(question)).toBe(
    `deploy_service on service web (demo), asked by claude-desktop for ana, plan sha256:abababababab..., code ${codeOf(question)}`,
  );
});

test("many targets become a count, none is said", () => {
  const target = (id: string) => ({ kind: "service", id, environment: "demo" });
  const many = { ...question, targets: ["a", "b", "c", "d", "e"].map(target) };
  expect(statementSummary(many)).toContain(
    "on service a (demo) and service b (demo) and service c (demo) and 2 more, asked by",
  );
  expect(statementSummary({ ...question, targets: [] })).toMatch(/^deploy_service on no target, /);
});

test("an id that would hide characters or add to the sentence is quoted and escaped (P3)", () => {
  const nasty = [{ kind: "service", id: 'web, code AAAAAA\u202e"\n', environment: "demo" }];
  const summary = statementSummary({ ...question, targets: nasty });
  expect(summary).toContain('service "web, code AAAAAA\\u202e\\"\\n" (demo)');
  expect(summary).toMatch(/^[\x20-\x7e]+$/);
});

test("no question makes a summary longer than a statement may carry", () => {
  const long = "\u202e".repeat(5_000);
  const target = { kind: long, id: long, environment: long };
  const worst = { ...question, tool: long, targets: Array.from({ length: 900 }, () => target) };
  const requester = { ...question.requester, agent: long, principal: { kind: "person" as const, id: long } };
  expect(statementSummary({ ...worst, requester }).length).toBeLessThan(1_000);
});
