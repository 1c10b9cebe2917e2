import { createParser, type EventSourceMessage } from "eventsource-parser";
import type { IncomingMessage } from "node:http";
import { StringDecoder } from "node:string_decoder";

export class TooLarge extends Error {
  override readonly name = "TooLarge";

  constructor(limit: number) {
    super(`the server sent more than ${limit} bytes in one message`);
  }
}

const UTF8 = new TextDecoder();

/** A body as text. @throws TooLarge */
export function readText(response: IncomingMessage, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  return new Promise((resolve, reject) => {
    response.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limit) chunks.push(chunk);
      else response.destroy(new TooLarge(limit));
    });
    response.on("end", () => resolve(UTF8.decode(Buffer.concat(chunks))));
    whenBroken(response, reject);
  });
}

export interface EventReader {
  /** True where the next event has to wait for a turn of the event loop. */
  event(event: EventSourceMessage): boolean;
  /** The server says after how many milliseconds a broken stream may be taken up again. */
  retry(ms: number): void;
}

/** Events of a stream in their order, until it ends, each of which counts for itself. @throws TooLarge */
export function readEvents(response: IncomingMessage, limit: number, reader: EventReader): Promise<void> {
  const queue: EventSourceMessage[] = [];
  let isWaiting = false;
  let isEnded = false;
  return new Promise((resolve, reject) => {
    const deliver = (): void => {
      while (!isWaiting) {
        const event = queue.shift();
        if (event === undefined) {
          if (isEnded) resolve();
          return;
        }
        if (!reader.event(event)) continue;
        isWaiting = true;
        response.pause();
        setImmediate(() => {
          isWaiting = false;
          response.resume();
          deliver();
        });
      }
    };
    const parser = createParser({
      maxBufferSize: limit,
      onEvent: (event) => queue.push(event),
      onRetry: (ms) => reader.retry(ms),
      onError: ({ type }) => {
        if (type === "max-buffer-size-exceeded") response.destroy(new TooLarge(limit));
      },
    });
    const decoder = new StringDecoder("utf8");
    response.on("data", (chunk: Buffer) => {
      if (response.destroyed) return;
      parser.feed(decoder.write(chunk));
      deliver();
    });
    response.on("end", () => {
      isEnded = true;
      deliver();
    });
    whenBroken(response, reject);
  });
}

/** The last that is heard of a body is not always an error, and may have been said before anybody listens. */
function whenBroken(response: IncomingMessage, reject: (error: Error) => void): void {
  const closed = (): void => {
    if (!response.readableEnded) reject(new Error("the connection ended before the answer"));
  };
  response.on("error", reject);
  response.on("close", closed);
  if (response.destroyed) closed();
}
