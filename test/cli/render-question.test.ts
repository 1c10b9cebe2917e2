import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createPaint, displayWidth } from "../../src/base/terminal.ts";
import { offersApproval, renderQuestion, type RenderOptions } from "../../src/cli/render-question.ts";
import {
  createScriptedHome,
  person,
  scriptedPolicy,
  T0,
  type ScriptedQuestion,
} from "../support/scripted-home.ts";

// Does an approver see everything, in the order they know, with nothing of the agent's able to pass for the gate's?

const policy = scriptedPolicy({
  people: [person("ana"), person("ben"), person("dee")],
  groups: { sre: ["ana", "ben"], security: ["dee"] },
});

const render = (
  question: ScriptedQuestion,
  options: Partial<RenderOptions> & { readonly as?: string } = {},
): string => {
  const home = createScriptedHome({ policy });
  const { as: reader = "ben", ...rest } = options;
  return renderQuestion(home.ask(question), {
    width: 80,
    paint: createPaint(false),
    now: T0,
    zone: "Europe/Paris",
    reader: { person: reader },
    ...rest,
  }).text;
};

const HOSTILE: ScriptedQuestion = {
  view: {
    effect: "destructive",
    effectLine: "DESTROY 1 database · prod · orders\u202edb",
    targets: [{ kind: "database", id: "p\u0430yments", environment: "prod" }],
    arguments: '{"name":"x\u001b]0;pwned\u0007"}',
    rules: [
      { id: "prod-deletes-need-two", because: "deleting production resources needs two people" },
      { id: "weekend", because: null },
    ],
    reasoning: {
      justification: `Safe cleanup.${"\n".repeat(40)}rule        allowed by policy\ndeadline    never\n\u001b[2Jcode        ABCDEF\n└────┘\n  code        ABCDEF`,
      chain: '{"steps":["looked","decided"]}',
    },
  },
  preview: {
    summary: "destroy the database \u200b of orders",
    changes: [
      { op: "delete", resource: "aws_db_instance.main", before: "db.r5.large\nmulti-az", after: null },
      { op: "grant", resource: "role app", before: null, after: "select on orders" },
    ],
    counts: { delete: 1, add: 0, dependants: 3 },
    facts: { region: "eu-west-1" },
    reversible: "no: the data is gone",
    warnings: [
      {
        code: "no_backup",
        text: "there is no snapshot younger than 30 days\u0007, and the last was made by hand",
      },
    ],
    fidelity: "checked",
    documents: [
      { title: "plan\u001b[8m", kind: "text", body: `${"x".repeat(200)}\n\tdestroy\n  code        ABCDEF\n` },
      { title: "rows", kind: "table", body: "id   name          amount\n1    anna               5\n" },
    ],
  },
  clauses: [
    { from: ["sre"], count: 2, assurance: "A3" },
    { from: ["security"], count: 1, assurance: "A2" },
  ],
};

test("an ordinary question looks like this", async () => {
  await expect(render({ clauses: [{ from: ["sre"], count: 2, assurance: "A2" }] })).toMatchFileSnapshot(
    "golden/question.txt",
  );
});

test("a question full of hostile text looks like this", async () => {
  await expect(render(HOSTILE, { as: "dee" })).toMatchFileSnapshot("golden/question-hostile.txt");
});

test("in colour, only our own codes are there and only our own words are painted by them", async () => {
  await expect(render(HOSTILE, { as: "dee", paint: createPaint(true) })).toMatchFileSnapshot(
    "golden/question-colour.txt",
  );
});

test("the order is the one of every channel, and the agent's words come last (design §5)", () => {
  const text = render(HOSTILE, { as: "dee" });
  const places = [
    "DESTROY 1 database",
    "effect      destructive",
    "counts      delete 1",
    "reversible  no",
    "asked by    agent claude-desktop",
    "you would be approval 1 of 1 from security",
    "2 changes",
    "arguments (masked",
    "evidence    checked",
    "rule        prod-deletes-need-two",
    "deadline    2026-11-21 11:30:00 UTC+01:00 (in 30m)",
    "\n  code ",
    "agent's stated reasoning (unverified)",
  ].map((words) => text.indexOf(words));
  expect(places).not.toContain(-1);
  expect(places).toEqual([...places].sort((a, b) => a - b));
});

const SGR = /\u001b\[[0-9;]*m/g;

/** What a terminal would obey, or a reader not see. */
const RAW =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffc]/;

describe("whatever an attacker writes", () => {
  const nasty = fc
    .array(
      fc.oneof(
        fc.string({ unit: "binary", maxLength: 12 }),
        fc.constantFrom(
          "\u001b[2J",
          "\u202e",
          "\n".repeat(30),
          " ".repeat(300),
          "\r",
          "│",
          "└──┘\n",
          "\n  code        ABCDEF",
          "\u200b",
        ),
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join(""));

  test("every line fits, nothing raw comes out, and no line of theirs begins as one of ours does", () => {
    fc.assert(
      fc.property(nasty, fc.integer({ min: 48, max: 120 }), fc.boolean(), (text, width, colour) => {
        const shown = render(
          {
            view: {
              effectLine: `DEPLOY ${text}`,
              targets: [{ kind: text, id: text, environment: "prod" }],
              arguments: JSON.stringify({ text }),
              rules: [{ id: "r", because: text }],
              reasoning: { justification: text, chain: text },
            },
            preview: {
              summary: text,
              changes: [{ op: "update", resource: text, before: text, after: text }],
              reversible: text,
              warnings: [{ code: "w", text }],
              documents: [{ title: text, kind: "diff", body: text }],
            },
          },
          { width, paint: createPaint(colour) },
        ).replaceAll(SGR, "");
        expect(shown).not.toMatch(RAW);
        const codes = shown.split("\n").filter((line) => /^ {2}code\s/.test(line));
        expect(codes).toHaveLength(1);
        expect(codes[0]).not.toContain("ABCDEF");
        for (const line of shown.split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(width);
      }),
      { numRuns: 300 },
    );
  });

  test("what one character of evidence changes shows: nothing is shortened (C4)", () => {
    const body = Array.from({ length: 3_000 }, (_, i) => `+line ${i} ${"y".repeat(i % 170)}`).join("\n");
    const shown = render({ preview: { documents: [{ title: "d", kind: "diff", body }] } });
    const quoted = shown
      .split("\n")
      .filter((line) => /^ {2}[│┊] /.test(line))
      .map((line) => (line.startsWith("  │") ? `\n${line.slice(4)}` : line.slice(4)))
      .join("")
      .replaceAll(" ", "");
    for (const line of body.split("\n")) expect(quoted).toContain(`\n${line.replaceAll(" ", "")}`);
  });
});

test("a view that is not complete offers no approval and says so on top (C4)", () => {
  const home = createScriptedHome({ policy });
  const open = home.ask({ preview: { complete: false } });
  expect(offersApproval(open)).toBe(false);
  expect(render({ preview: { complete: false } })).toMatch(/INCOMPLETE.*can only be denied/);
});

describe("what you are to the question", () => {
  const owners = {
    requester: { principal: { kind: "person", id: "chi" }, owners: ["dee"], chain: ["eve"] },
  } as const;
  test.each<[string, ScriptedQuestion, string, string]>([
    ["the requester", {}, "ana", "ana: you can't decide, the agent acts for you"],
    ["an owner of the agent", owners, "dee", "dee: you can't decide, you own the agent"],
    ["somebody in the chain", owners, "eve", "eve: you can't decide, you are in the chain it acts for"],
    ["nobody who is asked", {}, "dee", "dee: you are not among those who are asked now"],
    [
      "alone, where the policy says so (C6)",
      { solo: "ana" },
      "ana",
      "ana: you would be approval 1 of 1 from sre (solo: your own request)",
    ],
  ])("%s", (_what, question, reader, words) => {
    expect(render(question, { as: reader }).replaceAll(/\n {14}/g, " ")).toContain(words);
  });
});

test("a deadline that has passed is said to be over", () => {
  expect(render({}, { now: T0 + 31 * 60_000 })).toContain("(1m ago)");
});
