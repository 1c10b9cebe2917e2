import type { Readable } from "node:stream";

/** The `data` of each server-sent event; comments, names and ids are left out (WHATWG HTML §9.2.6). */
export async function* readEvents(stream: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  let data: string[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    rest += decoder.decode(chunk, { stream: true });
    // A CR at the end may be the first half of a CRLF that the next chunk completes.
    const held = rest.endsWith("\r") ? "\r" : "";
    const lines = (held === "" ? rest : rest.slice(0, -1)).split(/\r\n|\r|\n/);
    rest = (lines.pop() ?? "") + held;
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield data.join("\n");
        data = [];
      } else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }
}
