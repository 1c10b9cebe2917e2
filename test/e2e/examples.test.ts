import { execFile } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { MatrixTarget } from "../support/client-matrix.ts";
import { openScriptedTarget, type ScriptedTarget } from "../support/scripted-target.ts";

// Every example runs as a person would run it, as a program of its own, and checks its own outcome. The gateway holds
// for half a second only, so each of them has to go through a ticket.

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
let target: ScriptedTarget;
let people: NodeJS.Timeout;
beforeAll(async () => {
  target = await openScriptedTarget({ holdMs: 500, shim: true });
  people = setInterval(() => {
    void (async () => {
      for (const ticket of await target.held()) {
        // Long enough that the first call of each example is answered with a ticket.
        setTimeout(() => void target.approve(ticket).catch(() => undefined), 1_200);
      }
    })().catch(() => undefined);
  }, 200);
});
afterAll(async () => {
  clearInterval(people);
  await (target satisfies MatrixTarget).close();
});

describe.each(["mcp-client", "old-client", "anthropic", "openai"])("examples/%s", (name) => {
  test("runs to its end", async () => {
    const args = { service: "web", ref: `example-${name}` };
    const { stdout } = await run(process.execPath, ["--import", "tsx", `examples/${name}/main.ts`], {
      cwd: root,
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: process.env["HOME"] ?? "",
        COUNTERSIGN_URL: target.http.url,
        COUNTERSIGN_TOKEN: target.http.token,
        COUNTERSIGN_EXAMPLE_ARGS: JSON.stringify(args),
      },
      timeout: 60_000,
    });
    expect(stdout).toContain("Done");
    expect(await target.effects(args)).toBe(1);
    const calls = (await target.calls()).filter(
      (call) => call.tool === "deploy_service" && (call.arguments as { ref: string }).ref === args.ref,
    );
    expect(calls).toHaveLength(1);
    expect(calls[0]?.arguments).toHaveProperty("justification");
    if (name !== "anthropic" && name !== "openai") return;
    expect(calls[0]?.callId).toMatch(/^(toolu|call)_01$/);
    expect(calls[0]?.reasoning).toMatchObject({
      v: 1,
      provider: name,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(JSON.stringify(calls[0]?.reasoning)).toContain("The sale starts at noon");
  });
});
