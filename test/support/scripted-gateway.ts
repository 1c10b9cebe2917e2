import { createServer, type IncomingMessage } from "node:http";
import { rename, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import pino from "pino";
import { tokenSha256 } from "../../src/base/token.ts";
import { createBearer } from "../../src/transport/http/bearer.ts";
import { startMcpHttp } from "../../src/transport/mcp/http.ts";
import { runShim } from "../../src/transport/mcp/shim.ts";
import { serveStdio } from "../../src/transport/mcp/stdio.ts";
import { createScriptedGate } from "./scripted-gate.ts";

// A gateway process around a scripted gate, for tests that need a real process: `stdio DIR`, `http DIR` or
// `shim URL TOKEN`. The people's side is a second listener whose port is written to DIR/control.

const [mode, where, token] = process.argv.slice(2);
const log = pino({ level: process.env["LOG_LEVEL"] ?? "warn" }, pino.destination(2));
const holdMs = Number(process.env["HOLD_MS"] ?? 1_500);

const effects = new Map<string, number>();
const gate = createScriptedGate({
  deploy: async (input) => {
    const wait = Number(process.env["DEPLOY_MS"] ?? 0);
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const key = `${String(input["service"])}@${String(input["ref"])}`;
    effects.set(key, (effects.get(key) ?? 0) + 1);
  },
});

/** `control`, or one for each process that shares the directory. */
const controlFile = process.env["CONTROL_OF_ITS_OWN"] === undefined ? "control" : `control-${process.pid}`;

async function startControl(dir: string): Promise<() => void> {
  const server = createServer((request, response) => {
    void (async () => {
      const [, verb, argument] = (request.url ?? "").split("/").map(decodeURIComponent);
      const body = await readAll(request);
      let answer: unknown = null;
      if (verb === "held") answer = gate.held();
      else if (verb === "approve") await gate.approve(argument ?? "");
      else if (verb === "deny") gate.deny(argument ?? "", body);
      else if (verb === "ask") answer = gate.ask(argument ?? "", body);
      else if (verb === "answers") answer = gate.answers(argument ?? "");
      else if (verb === "effects") answer = effects.get(argument ?? "") ?? 0;
      else if (verb === "calls") answer = gate.calls;
      else response.statusCode = 404;
      response.end(JSON.stringify(answer));
    })().catch((error: unknown) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await announce(`${dir}/${controlFile}`, String((server.address() as AddressInfo).port));
  return () => {
    server.close();
    server.closeAllConnections();
  };
}

/** Whole or not at all: whoever waits for the file may read it the moment it is there. */
async function announce(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

async function readAll(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}

const principal = { kind: "named", id: "ana" } as const;
if (mode === "stdio" && where !== undefined) {
  const stop = await startControl(where);
  const caller = { principal, agent: "desktop", transport: "stdio", client: null } as const;
  await serveStdio(gate, caller, { holdMs, version: "0.0.0", log });
  stop();
} else if (mode === "http" && where !== undefined && token !== undefined) {
  const stop = await startControl(where);
  const http = await startMcpHttp({
    gate,
    listener: { host: "127.0.0.1", port: 0 },
    authenticate: createBearer([
      { name: "test", tokenSha256: tokenSha256(token), principal, agent: "desktop" },
    ]),
    holdMs,
    version: "0.0.0",
    log,
  });
  await announce(`${where}/url`, http.url);
  await new Promise((resolve) => process.once("SIGTERM", resolve));
  await http.close(1_000);
  stop();
} else if (mode === "shim" && where !== undefined && token !== undefined) {
  await runShim({ url: where, token, log });
} else {
  throw new Error("usage: stdio DIR | http DIR TOKEN | shim URL TOKEN");
}
