import type { RawPipe } from "./raw-stdio.ts";
import { legacyInitialize, legacyRequest, modernRequest, notification, stable } from "./rpc.ts";
import type { ScriptedGate } from "./scripted-gate.ts";

// What a client of each protocol era says and reads, word for word. The same golden file holds for every way to the
// gateway, so a shim that changed a byte of an answer would show.

const deploy = {
  name: "deploy_service",
  arguments: { service: "web", ref: "v1", justification: "because" },
} as const;

export const LEGACY_SCRIPT: readonly (object | "approve")[] = [
  legacyInitialize(1),
  notification("notifications/initialized"),
  legacyRequest(2, "tools/list"),
  legacyRequest(3, "tools/call", { name: "read_service", arguments: { service: "web" } }),
  legacyRequest(4, "tools/call", deploy),
  "approve",
  legacyRequest(5, "tools/call", { name: "countersign_wait", arguments: { ticket: "TICKET" } }),
  legacyRequest(6, "tools/call", { name: "nothing_here" }),
  legacyRequest(7, "tools/call", { arguments: {} }),
  legacyRequest(8, "resources/list"),
  legacyRequest(9, "ping"),
];

export const MODERN_SCRIPT: readonly (object | "approve")[] = [
  modernRequest("a", "server/discover"),
  modernRequest("b", "tools/list"),
  modernRequest("c", "tools/call", { name: "read_service", arguments: { service: "web" } }),
  modernRequest("d", "tools/call", deploy),
  "approve",
  modernRequest("e", "tools/call", { name: "countersign_wait", arguments: { ticket: "TICKET" } }),
  modernRequest("f", "tools/call", { name: "countersign_withdraw", arguments: { ticket: "TICKET" } }),
  modernRequest("g", "tools/call", { name: "countersign_wait", arguments: { ticket: "x", approve: true } }),
  modernRequest("h", "prompts/list"),
];

/** Sends each message, approves what is held where the script says so, and writes down both sides. */
export async function transcribe(
  script: readonly (object | "approve")[],
  gate: ScriptedGate,
  pipe: RawPipe,
): Promise<string> {
  const lines: string[] = [];
  let ticket = "";
  for (const message of script) {
    if (message === "approve") {
      ticket = gate.held()[0] ?? "";
      await gate.approve(ticket);
      lines.push("# a person approves", "");
      continue;
    }
    const text = JSON.stringify(message).replace("TICKET", () => ticket);
    lines.push(`> ${text}`);
    pipe.sendBytes(`${text}\n`);
    if ("id" in message) lines.push(`< ${JSON.stringify(await pipe.receive())}`, "");
  }
  return stable(`${lines.join("\n")}\n`);
}
