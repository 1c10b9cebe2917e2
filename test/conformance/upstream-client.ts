import { schemaProblem } from "../../src/upstream/arguments.ts";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { withRound } from "../../src/request/round.ts";
import { fullName } from "../../src/upstream/definition.ts";
import type { Pin } from "../../src/upstream/lock.ts";
import { makeUpstreamTools } from "../../src/upstream/make-tools.ts";
import { createPool } from "../../src/upstream/pool.ts";
import { upstreamsSchema } from "../../src/upstream/registration.ts";

// What the suite starts as the client under test: a gateway's side towards one upstream, as it is after an operator has
// accepted every tool that can be accepted and vouched for all of them. The suite adds the address.

const url = process.argv.at(-1) ?? "";
const scenario = process.env["MCP_CONFORMANCE_SCENARIO"] ?? "";
const context = JSON.parse(process.env["MCP_CONFORMANCE_CONTEXT"] ?? "{}") as {
  readonly toolCalls?: readonly { readonly name: string; readonly arguments: JsonObject }[];
};

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const pool = createPool({ version: "0.0.0", env: process.env, workRoot: process.cwd(), log });
const upstreams = upstreamsSchema.parse({ suite: { url, environment: "lab" } });
const entry = upstreams["suite"];
if (entry === undefined) throw new Error("no registration");

const { definitions } = await pool.upstream("suite", entry).list(0);
const pins: Record<string, Pin> = {};
for (const { name, digest, document } of definitions.values()) {
  if (schemaProblem(document["inputSchema"]) !== null) continue;
  pins[fullName("suite", name)] = { upstream: "suite", tool: name, digest, definition: document };
}
const accepted = Object.fromEntries(Object.values(pins).map(({ tool }) => [tool, { effect: "read" }]));
const { tools } = makeUpstreamTools(
  {
    upstreams: upstreamsSchema.parse({ suite: { url, environment: "lab", tools: accepted } }),
    pins,
  } as unknown as JsonObject,
  () => Promise.resolve(pool),
);

async function call(name: string, args: JsonObject): Promise<void> {
  const tool = tools.find((one) => one.name === fullName("suite", name));
  if (tool === undefined) throw new Error(`${name} is not offered`);
  const parsed = tool.parseInput(args);
  if (!parsed.ok) throw new Error(`${name}: ${JSON.stringify(parsed.issues)}`);
  const { output } = await tool.execute(parsed.input, {
    asks: { elicitation: {} },
    signal: AbortSignal.timeout(20_000),
    requestId: "req_suite",
    idempotencyKey: "suite",
    workdir: process.cwd(),
    now: () => Date.now(),
    creds: () => Promise.reject(new Error("no credentials")),
    file: () => Promise.reject(new Error("no files")),
    progress: () => undefined,
  });
  const { result } = output as { readonly result?: JsonObject };
  if (result?.["resultType"] !== "input_required") return;
  // What the agent's side answers comes back as a call of its own.
  const answers = Object.fromEntries(
    Object.keys(result["inputRequests"] as JsonObject).map((id) => [
      id,
      { action: "accept", content: { confirmed: true } },
    ]),
  );
  const state = result["requestState"];
  await call(name, withRound(args, { answers, state: typeof state === "string" ? state : null }));
}

switch (scenario) {
  case "tools_call":
    await call("add_numbers", { a: 2, b: 3 });
    break;
  case "json-schema-2020-12-preservation": {
    const schema = definitions.get("json_schema_2020_12_tool")?.document["inputSchema"];
    await call("json_schema_echo", { schema: schema ?? null });
    break;
  }
  default:
    if (context.toolCalls !== undefined) {
      // A null for what the schema says is a boolean is refused by the gate, so the argument is left out here.
      for (const { name, arguments: args } of context.toolCalls) {
        await call(name, Object.fromEntries(Object.entries(args).filter(([, value]) => value !== null)));
      }
    } else {
      // Every tool that is offered, with what its schema demands.
      for (const { definition, tool } of Object.values(pins)) await call(tool, leastOf(definition));
    }
}
await pool.close();

function leastOf(definition: JsonObject): JsonObject {
  const { properties, required } = definition["inputSchema"] as {
    readonly properties?: Readonly<Record<string, { readonly type?: string }>>;
    readonly required?: readonly string[];
  };
  const values: Readonly<Record<string, string | number | boolean>> = {
    integer: 1,
    number: 1,
    boolean: true,
  };
  return Object.fromEntries(
    (required ?? []).map((name) => [name, values[properties?.[name]?.type ?? ""] ?? "text"]),
  );
}
