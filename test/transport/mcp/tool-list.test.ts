import { AjvJsonSchemaValidator } from "@modelcontextprotocol/client/validators/ajv";
import { expect, test } from "vitest";
import type { Reply } from "../../../src/gate/reply.ts";
import { renderReply } from "../../../src/transport/mcp/render.ts";
import { widenedOutputSchema } from "../../../src/transport/mcp/output-schema.ts";
import { listTools } from "../../../src/transport/mcp/tool-list.ts";
import { isFault } from "../../../src/errors.ts";
import { SCRIPTED_TOOLS } from "../../support/scripted-gate.ts";

const validates = (schema: unknown, value: unknown): boolean =>
  new AjvJsonSchemaValidator().getValidator(schema as never)(value as never).valid;

const request = "req_01JD6Q8Z7V4M2N9K3T5W1X0YBC" as const;
const done = (output: Extract<Reply, { status: "done" }>["output"]): unknown =>
  renderReply({ status: "done", request, summary: "s", output }).structuredContent;
const pending = renderReply({
  status: "pending",
  ticket: request,
  code: null,
  because: ["why"],
  deadline: null,
  waitingFor: "people",
  inquiries: [{ id: "inq_1", text: "why?" }],
  retryAfterMs: 1,
}).structuredContent;

test("the published schema takes a pending reply and the tool's own output, and still refuses a wrong one", () => {
  const schema = listTools(SCRIPTED_TOOLS).find((tool) => tool.name === "deploy_service")?.outputSchema;
  expect(validates(schema, pending)).toBe(true);
  expect(validates(schema, done({ service: "web", ref: "main" }))).toBe(true);
  expect(validates(schema, done({ service: "web" }))).toBe(false);
  expect(validates(schema, { status: "approved", requestId: request })).toBe(false);
});

test("what a ticket's tool gives back is whatever the tool that it is about gave", () => {
  const fronted = done({
    typ: "countersign.upstream",
    result: { content: [], structuredContent: { content: "hi" } },
  });
  expect(fronted).toEqual({ content: "hi" });
  for (const name of ["countersign_wait", "countersign_answer", "countersign_withdraw"]) {
    const schema = listTools(SCRIPTED_TOOLS).find((tool) => tool.name === name)?.outputSchema ?? {};
    expect(validates(schema, fronted)).toBe(true);
  }
});

test("a tool whose output schema refers to itself keeps working inside ours", () => {
  const tree = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties: { name: { type: "string" }, children: { type: "array", items: { $ref: "#" } } },
    required: ["name"],
    additionalProperties: false,
  };
  const schema = widenedOutputSchema("show_tree", tree);
  expect(validates(schema, done({ name: "a", children: [{ name: "b", children: [] }] }))).toBe(true);
  expect(validates(schema, done({ name: "a", children: [{ title: "b" }] }))).toBe(false);
});

test("a tool cannot take a name of ours (P1)", () => {
  const [tool] = SCRIPTED_TOOLS;
  try {
    listTools([{ ...(tool as (typeof SCRIPTED_TOOLS)[number]), name: "countersign_wait" }]);
    expect.unreachable();
  } catch (error) {
    expect(isFault(error, "TOOL_INVALID")).toBe(true);
  }
});
