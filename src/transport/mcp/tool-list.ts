import type { Tool } from "@modelcontextprotocol/server";
import { CountersignError } from "../../errors.ts";
import type { PublishedTool } from "../../gate/reply.ts";
import { frontedTool, SUSPENDABLE } from "./fronted.ts";
import { ANSWER_TOOL, WAIT_TOOL, WITHDRAW_TOOL } from "./names.ts";
import { widenedOutputSchema } from "./output-schema.ts";

// What MCP clients are told there is to call: the gate's tools, and three of ours that act on a ticket. None of them can
// approve, change the policy or edit the log (P1).

/** Longest ticket that is looked at. */
export const MAX_TICKET_LENGTH = 64;

const ticket = {
  type: "string",
  description: "the ticket that a pending result named",
  minLength: 1,
  maxLength: MAX_TICKET_LENGTH,
} as const;

// Without an output schema: what they answer with is the result of whatever tool the ticket is about, another server's
// included, and clients refuse what a published schema does not allow.
const COMPANIONS: readonly Tool[] = [
  {
    name: WAIT_TOOL,
    title: "Wait for people",
    description:
      "Waits for people to answer a pending request, and gives its result once there is one. Give it the ticket of " +
      "a pending result. It returns pending again if nobody has answered yet. It cannot approve anything.",
    inputSchema: {
      type: "object",
      properties: { ticket },
      required: ["ticket"],
      additionalProperties: false,
    },
    // Not a read: a request whose rule says when_attached runs while its caller waits here.
    annotations: {
      title: "Wait for people",
      readOnlyHint: false,
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: false,
    },
  },
  {
    name: ANSWER_TOOL,
    title: "Answer a person's question",
    description:
      "Answers what a person asked about a pending request of your own, before they decide. Give it the ticket, and the " +
      "id of the question in the pending result's inquiries. Each can be answered once. People see the answer as " +
      "your unverified claim; it approves nothing and changes nothing about the request.",
    inputSchema: {
      type: "object",
      properties: {
        ticket,
        inquiry: {
          type: "string",
          description: "the id of the question",
          minLength: 1,
          maxLength: MAX_TICKET_LENGTH,
        },
        answer: {
          type: "string",
          description: "what you say to it, at most 8 KiB",
          minLength: 1,
          maxLength: 8_192,
        },
      },
      required: ["ticket", "inquiry", "answer"],
      additionalProperties: false,
    },
    annotations: {
      title: "Answer a person's question",
      readOnlyHint: false,
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: false,
    },
  },
  {
    name: WITHDRAW_TOOL,
    title: "Take a request back",
    description:
      "Takes back a pending request of your own that is no longer wanted, so that nobody spends time on it. " +
      "Once it has begun to run it goes on, and the answer says where it stands.",
    inputSchema: {
      type: "object",
      properties: {
        ticket,
        reason: { type: "string", description: "why, for the record", maxLength: 1_000 },
      },
      required: ["ticket"],
      additionalProperties: false,
    },
    annotations: {
      title: "Take a request back",
      readOnlyHint: false,
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: false,
    },
  },
];

/** True for a tool of ours that acts on a ticket. */
export const isCompanion = (tool: string): boolean => COMPANIONS.some(({ name }) => name === tool);

/**
 * Everything `tools/list` answers, in a fixed order.
 * @throws CountersignError `TOOL_INVALID` where a gated tool takes a name of ours
 */
export function listTools(published: readonly PublishedTool[]): readonly Tool[] {
  const own = published.find((tool) => isCompanion(tool.name));
  if (own !== undefined) throw new CountersignError("TOOL_INVALID", `tool name "${own.name}" is reserved`);
  return [
    ...published
      .filter(isListed)
      .map((tool) =>
        tool.upstream === undefined ? ownTool(tool) : frontedTool(tool, tool.upstream.definition),
      ),
    ...COMPANIONS,
  ];
}

const ownTool = (tool: PublishedTool): Tool => ({
  name: tool.name,
  title: tool.title,
  description: tool.description,
  inputSchema: tool.inputSchema as Tool["inputSchema"],
  outputSchema: widenedOutputSchema(tool.name, tool.outputSchema) as Tool["outputSchema"],
  annotations: { ...tool.annotations },
  execution: SUSPENDABLE,
});

/** Resources and prompts of other servers have lists of their own. */
const isListed = ({ upstream }: PublishedTool): boolean => upstream?.documents === undefined;
