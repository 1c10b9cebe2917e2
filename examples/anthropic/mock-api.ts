import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

// A stand-in for the Messages API that streams as it does. Its model thinks, calls deploy_service, waits on the ticket
// as the result tells it to, and reports what came of it.

interface Turn {
  readonly messages: readonly { readonly role: string; readonly content: unknown }[];
}

export async function startMockApi(
  deploy: Record<string, unknown>,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  let turn = 0;
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      turn += 1;
      response.writeHead(200, { "content-type": "text/event-stream" });
      reply(response, turn, lastToolResult(JSON.parse(body) as Turn), deploy);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function reply(
  response: ServerResponse,
  turn: number,
  result: string | null,
  deploy: Record<string, unknown>,
): void {
  const ticket = result === null ? undefined : /^Ticket: (\S+)$/m.exec(result)?.[1];
  const send = (type: string, data: object): void =>
    void response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  const block = (index: number, start: object, deltas: readonly object[]): void => {
    send("content_block_start", { index, content_block: start });
    for (const delta of deltas) send("content_block_delta", { index, delta });
    send("content_block_stop", { index });
  };
  const call = (name: string, input: object): void =>
    block(1, { type: "tool_use", id: `toolu_0${turn}`, name, input: {} }, [
      { type: "input_json_delta", partial_json: JSON.stringify(input) },
    ]);
  const usage = { input_tokens: 1, output_tokens: 1 };
  const id = `msg_0${turn}`;
  const message = {
    id,
    type: "message",
    role: "assistant",
    model: "mock",
    content: [],
    stop_reason: null,
    usage,
  };
  send("message_start", { message });
  const thinks =
    result === null ? "The sale starts at noon; main has it." : "It is pending: wait, do not repeat.";
  if (result === null || ticket !== undefined) {
    block(0, { type: "thinking", thinking: "", signature: "" }, [
      { type: "thinking_delta", thinking: thinks },
      { type: "signature_delta", signature: "bW9jay1zaWduYXR1cmU=" },
    ]);
    if (ticket === undefined) call("deploy_service", deploy);
    else call("countersign_wait", { ticket });
  } else {
    block(0, { type: "text", text: "" }, [{ type: "text_delta", text: `It is out: ${result}` }]);
  }
  const stop_reason = result === null || ticket !== undefined ? "tool_use" : "end_turn";
  send("message_delta", { delta: { stop_reason, stop_sequence: null }, usage });
  send("message_stop", {});
}

/** The text of the newest tool result in the conversation; null on the first turn. */
function lastToolResult({ messages }: Turn): string | null {
  const content = messages.at(-1)?.content;
  if (!Array.isArray(content)) return null;
  for (const block of content as { type: string; content?: unknown }[]) {
    if (block.type !== "tool_result") continue;
    if (typeof block.content === "string") return block.content;
    return (block.content as { text?: string }[]).map(({ text }) => text ?? "").join("\n");
  }
  return null;
}
