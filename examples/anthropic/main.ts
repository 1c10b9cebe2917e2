// An agent on the Anthropic SDK, whose thinking goes to the gateway with each call: approvers see it beside the plan,
// marked as what it is, the agent's own claim. The model is a local stand-in, so this runs without a key and offline;
// take the `baseURL` away to use the real one.
import Anthropic from "@anthropic-ai/sdk";
import { mcpTool } from "@anthropic-ai/sdk/helpers/beta/mcp";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { connect, deployment } from "../gateway.ts";
import { startMockApi } from "./mock-api.ts";

type Thinking = Anthropic.Beta.BetaThinkingBlock | Anthropic.Beta.BetaRedactedThinkingBlock;

const model = "claude-opus-4-8";
const api = await startMockApi(deployment("the winter sale starts at noon"));
const anthropic = new Anthropic({ apiKey: "not-a-key", baseURL: api.url });
const gateway = await connect("example-anthropic-agent");

/** The thinking that came before each tool call, by the call's id. */
const thinkingBefore = new Map<string, { readonly turn: string; readonly blocks: readonly Thinking[] }>();

const { tools } = await gateway.listTools();
const runner = anthropic.beta.messages.toolRunner({
  model,
  max_tokens: 4_096,
  stream: true,
  thread: false,
  thinking: { type: "adaptive", display: "summarized" },
  messages: [{ role: "user", content: "Bring out the winter sale." }],
  tools: tools.map((tool) => ({
    ...mcpTool(tool, gateway as never),
    // The helper sends no `_meta`, so the call is wrapped: it converts the result, we add what belongs to the call.
    run: (args: Record<string, unknown>, context?: { readonly toolUse: { readonly id: string } }) => {
      const callId = context?.toolUse.id ?? "";
      const before = thinkingBefore.get(callId);
      const blocks = before?.blocks ?? [];
      const sha256 = createHash("sha256").update(JSON.stringify(blocks)).digest("hex");
      const _meta = {
        "dev.countersign/callId": callId,
        ...(blocks.length === 0
          ? {}
          : {
              "dev.countersign/reasoning": {
                v: 1,
                provider: "anthropic",
                model,
                callId,
                turn: before?.turn,
                blocks,
                sha256,
              },
            }),
      };
      const withMeta = {
        callTool: (params: { name: string; arguments?: Record<string, unknown> }) =>
          gateway.callTool(
            { ...params, _meta },
            { onprogress: () => undefined, resetTimeoutOnProgress: true },
          ),
      };
      return mcpTool(tool, withMeta as never).run(args);
    },
  })),
});

let last = "";
for await (const stream of runner) {
  const message = await stream.finalMessage();
  const blocks = message.content.filter(
    (block): block is Thinking => block.type === "thinking" || block.type === "redacted_thinking",
  );
  for (const block of message.content) {
    if (block.type === "tool_use") {
      thinkingBefore.set(block.id, { turn: message.id, blocks });
      console.log(`calls ${block.name}`);
    }
    if (block.type === "text") last = block.text;
  }
}
console.log(last);
await gateway.close();
await api.close();

assert.match(last, /^It is out: Done/);
