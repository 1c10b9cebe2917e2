import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

// A stand-in for the Responses API that streams as it does. Its model reasons, calls deploy_service, waits on the
// ticket as the result tells it to, and reports what came of it.

interface Turn {
  readonly input: readonly { readonly type?: string; readonly output?: string }[];
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
      const { input } = JSON.parse(body) as Turn;
      const result = input.findLast((item) => item.type === "function_call_output")?.output ?? null;
      response.writeHead(200, { "content-type": "text/event-stream" });
      reply(response, turn, result, deploy);
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
  let sequence_number = 0;
  const send = (type: string, data: object): void =>
    void response.write(
      `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence_number++, ...data })}\n\n`,
    );
  const output: object[] = [];
  const base = { id: `resp_0${turn}`, object: "response", created_at: 0, model: "mock", error: null, output };
  const emit = (item: { readonly type: string }, deltas: () => void): void => {
    const output_index = output.length;
    const started = {
      ...item,
      ...(item.type === "function_call" ? { arguments: "" } : { summary: [], content: [] }),
    };
    send("response.output_item.added", { output_index, item: { ...started, status: "in_progress" } });
    deltas();
    send("response.output_item.done", { output_index, item: { ...item, status: "completed" } });
    output.push({ ...item, status: "completed" });
  };

  send("response.created", { response: { ...base, status: "in_progress", output: [] } });
  const ticket = result === null ? undefined : /^Ticket: (\S+)$/m.exec(result)?.[1];
  if (result === null || ticket !== undefined) {
    const summary =
      result === null ? "The sale starts at noon; main has it." : "It is pending: wait, do not repeat.";
    const reasoning = {
      type: "reasoning",
      id: `rs_0${turn}`,
      summary: [{ type: "summary_text", text: summary }],
      encrypted_content: "bW9jay1lbmNyeXB0ZWQ=",
    };
    emit(reasoning, () => {
      const at = { item_id: reasoning.id, output_index: output.length, summary_index: 0 };
      send("response.reasoning_summary_part.added", { ...at, part: { type: "summary_text", text: "" } });
      send("response.reasoning_summary_text.delta", { ...at, delta: summary });
      send("response.reasoning_summary_text.done", { ...at, text: summary });
      send("response.reasoning_summary_part.done", { ...at, part: { type: "summary_text", text: summary } });
    });
    const name = ticket === undefined ? "deploy_service" : "countersign_wait";
    const args = JSON.stringify(ticket === undefined ? deploy : { ticket });
    const call = {
      type: "function_call",
      id: `fc_0${turn}`,
      call_id: `call_0${turn}`,
      name,
      arguments: args,
    };
    emit(call, () => {
      const at = { item_id: call.id, output_index: output.length };
      send("response.function_call_arguments.delta", { ...at, delta: args });
      send("response.function_call_arguments.done", { ...at, arguments: args, name });
    });
  } else {
    const text = `It is out: ${result}`;
    const part = { type: "output_text", text, annotations: [] };
    const message = { type: "message", id: `msg_0${turn}`, role: "assistant", content: [part] };
    emit(message, () => {
      const at = { item_id: message.id, output_index: output.length, content_index: 0 };
      send("response.content_part.added", { ...at, part: { ...part, text: "" } });
      send("response.output_text.delta", { ...at, delta: text, logprobs: [] });
      send("response.output_text.done", { ...at, text, logprobs: [] });
      send("response.content_part.done", { ...at, part });
    });
  }
  send("response.completed", { response: { ...base, status: "completed", output } });
}
