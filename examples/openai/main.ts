// An agent on the OpenAI SDK's Responses API, whose reasoning items go to the gateway with each call. The model is a
// local stand-in, so this runs without a key and offline; take the `baseURL` away to use the real one.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import OpenAI from "openai";
import { connect, deployment, textOf } from "../gateway.ts";
import { startMockApi } from "./mock-api.ts";

const model = "gpt-5.2";
const api = await startMockApi(deployment("the winter sale starts at noon"));
const openai = new OpenAI({ apiKey: "not-a-key", baseURL: api.url });
const gateway = await connect("example-openai-agent");

const tools: OpenAI.Responses.Tool[] = (await gateway.listTools()).tools.map((tool) => ({
  type: "function",
  name: tool.name,
  description: tool.description ?? null,
  parameters: tool.inputSchema,
  strict: false,
}));

const input: OpenAI.Responses.ResponseInput = [{ role: "user", content: "Bring out the winter sale." }];
let last = "";
for (let calls = 1; calls > 0;) {
  const stream = openai.responses.stream({
    model,
    input,
    tools,
    store: false,
    reasoning: { effort: "low", summary: "auto" },
    include: ["reasoning.encrypted_content"],
  });
  const response = await stream.finalResponse();
  input.push(...(response.output as OpenAI.Responses.ResponseInput));
  const blocks = response.output.filter((item) => item.type === "reasoning");
  const requested = response.output.filter((item) => item.type === "function_call");
  for (const call of requested) {
    console.log(`calls ${call.name}`);
    const sha256 = createHash("sha256").update(JSON.stringify(blocks)).digest("hex");
    const result = await gateway.callTool(
      {
        name: call.name,
        arguments: JSON.parse(call.arguments) as Record<string, unknown>,
        _meta: {
          "dev.countersign/callId": call.call_id,
          "dev.countersign/reasoning": {
            v: 1,
            provider: "openai",
            model,
            callId: call.call_id,
            turn: response.id,
            blocks,
            sha256,
          },
        },
      },
      { onprogress: () => undefined, resetTimeoutOnProgress: true },
    );
    input.push({ type: "function_call_output", call_id: call.call_id, output: textOf(result) });
  }
  calls = requested.length;
  for (const item of response.output) {
    if (item.type !== "message") continue;
    last = item.content.map((part) => (part.type === "output_text" ? part.text : part.refusal)).join("");
  }
}
console.log(last);
await gateway.close();
await api.close();

assert.match(last, /^It is out: Done/);
