// The plainest way to use a gateway from code: call the gated tool, and while it is pending wait on its ticket.
import assert from "node:assert/strict";
import { connect, deployment, outcomeOf, textOf } from "../gateway.ts";

const client = await connect("example-mcp-client");
const { tools } = await client.listTools();
console.log(`tools: ${tools.map((tool) => tool.name).join(", ")}`);

let result = await client.callTool(
  { name: "deploy_service", arguments: deployment("the release of today was announced for noon") },
  // People take their time: every progress notice of the gateway starts the client's patience anew.
  {
    onprogress: ({ message }) => console.log(`… ${message ?? ""}`),
    resetTimeoutOnProgress: true,
    timeout: 60_000,
  },
);
console.log(textOf(result));

for (let outcome = outcomeOf(result); outcome.status === "pending"; outcome = outcomeOf(result)) {
  result = await client.callTool({ name: "countersign_wait", arguments: { ticket: outcome.ticket } });
  console.log(textOf(result));
}
await client.close();

assert.equal(outcomeOf(result).status, "done");
