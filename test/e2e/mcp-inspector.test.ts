import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, type MatrixTarget } from "../support/client-matrix.ts";
import { inspect, missingInspector } from "../support/inspector.ts";
import { openScriptedTarget } from "../support/scripted-target.ts";

// The MCP Inspector: a client that nobody here wrote, in all three of its protocol modes.

const missing = missingInspector();
const required = process.env["COUNTERSIGN_TARGETS"] === "required";
if (missing !== null && required) throw new Error(missing);

describe.skipIf(missing !== null)(missing ?? "the MCP Inspector", () => {
  let target: MatrixTarget;
  beforeAll(async () => {
    target = await openScriptedTarget({ holdMs: 8_000, shim: true });
  });
  afterAll(() => target.close());

  const over = {
    HTTP: () => [
      ...[target.http.url, "--transport", "http", "--header", `Authorization: Bearer ${target.http.token}`],
    ],
    // Options of the inspector come before the command that it starts.
    "stdio through the shim": () => [target.stdio.command, ...target.stdio.args],
  };
  const place = (transport: keyof typeof over, options: readonly string[]): string[] =>
    transport === "HTTP" ? [...over.HTTP(), ...options] : [...options, ...over[transport]()];
  const call = async (
    transport: keyof typeof over,
    era: string,
    tool: string,
    args: object,
  ): Promise<{ isError: boolean; structuredContent: Record<string, unknown> }> => {
    const options = [
      "--protocol-era",
      era,
      "--method",
      "tools/call",
      "--tool-name",
      tool,
      "--format",
      "json",
    ];
    const { out, err } = await inspect(
      place(transport, [...options, "--tool-args-json", JSON.stringify(args)]),
    );
    try {
      return (JSON.parse(out) as { result: Awaited<ReturnType<typeof call>> }).result;
    } catch {
      throw new Error(`the inspector gave no JSON: ${out}${err}`);
    }
  };

  test("finds nothing to complain about in the published schemas", async () => {
    const { code, out, err } = await inspect(place("HTTP", ["--method", "tools/list", "--strict"]));
    expect([code, err.trim()]).toEqual([0, expect.stringMatching(/^(.*0 errors, 0 warnings.*)?$/s)]);
    expect(out).toContain("countersign_wait");
  });

  let n = 0;
  for (const transport of Object.keys(over) as (keyof typeof over)[]) {
    test.each(["legacy", "auto", "modern"])(
      `is held, approved and answered over ${transport}, era %s`,
      async (era) => {
        const args = target.args((n += 1));
        const answer = call(transport, era, target.tool, args);
        const ticket = await eventually(async () => (await target.held())[0]);
        await target.approve(ticket);
        expect(await answer).toMatchObject({
          isError: false,
          structuredContent: { status: "done", requestId: ticket },
        });
        expect(await target.effects(args)).toBe(1);
        const again = await call(transport, era, "countersign_wait", { ticket });
        expect(again.structuredContent).toMatchObject({ status: "done", requestId: ticket });
      },
    );
  }

  test("exits with an error where a person denied", async () => {
    const args = target.args((n += 1));
    const answer = call("HTTP", "modern", target.tool, args);
    const ticket = await eventually(async () => (await target.held())[0]);
    await target.deny(ticket, "no");
    expect(await answer).toMatchObject({
      isError: true,
      structuredContent: { code: "denied_by_person", reason: "no" },
    });
  });
});
