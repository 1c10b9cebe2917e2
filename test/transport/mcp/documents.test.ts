import { ProtocolError } from "@modelcontextprotocol/server";
import pino from "pino";
import { describe, expect, test } from "vitest";
import type { PublishedTool, Reply } from "../../../src/gate/reply.ts";
import type { Documents } from "../../../src/tool.ts";
import { answerDocuments, documentTools, type DocumentParts } from "../../../src/transport/mcp/documents.ts";
import { listTools } from "../../../src/transport/mcp/tool-list.ts";
import type { JsonObject } from "../../../src/base/canonical-json.ts";

const log = pino({ level: "silent" });

/** What one server lists, page by page; `null` is a server that can't be reached. */
type Pages = Readonly<Record<string, readonly JsonObject[]>> | null;

function serverTools(alias: string, prefix: string, pages: Pages): readonly PublishedTool[] {
  const shared: Omit<Documents, "method"> = {
    alias,
    prefix,
    list(method, cursor) {
      if (pages === null) return Promise.reject(new Error("not reached"));
      return Promise.resolve(pages[method]?.[cursor === undefined ? 0 : Number(cursor)] ?? {});
    },
    owns(kind, id) {
      if (pages === null) return Promise.reject(new Error("not reached"));
      const [method, key, name] =
        kind === "prompt" ? ["prompts/list", "prompts", "name"] : ["resources/list", "resources", "uri"];
      const items = (pages[method as string] ?? []).flatMap((page) => page[key as string] as JsonObject[]);
      return Promise.resolve(items.some((item) => item[name as string] === id));
    },
  };
  return (["resources/read", "prompts/get", "completion/complete"] as const).map((method) => ({
    name: `${alias}__${method}`,
    title: method,
    description: method,
    inputSchema: { type: "object" },
    outputSchema: {},
    annotations: {
      title: method,
      readOnlyHint: true,
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: true,
    },
    upstream: { alias, definition: {}, documents: { ...shared, method } },
  }));
}

const done = (output: JsonObject): Reply => ({
  status: "done",
  request: "req_1",
  summary: "read",
  output: { typ: "countersign.upstream", v: 1, ...output },
});

function world(
  tools: readonly PublishedTool[],
  reply: Reply = done({ result: {} }),
  look: () => Promise<Reply | null> = () => Promise.resolve(null),
) {
  const asked: { tool: string; args: object }[] = [];
  const parts: DocumentParts = {
    tools,
    log,
    signal: new AbortController().signal,
    look,
    ask: (tool, args) => {
      asked.push({ tool: tool.name, args });
      return Promise.resolve(reply);
    },
  };
  return {
    asked,
    ask: (method: string, params: object = {}) => answerDocuments(parts, method, { ...params }),
  };
}

const failure = async (work: Promise<unknown>): Promise<ProtocolError> => {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ProtocolError);
  return error as ProtocolError;
};

const files = serverTools("files", "files__", {
  "resources/list": [
    { resources: [{ uri: "file:///a", extra: { kept: true } }], nextCursor: "1" },
    { resources: [{ uri: "file:///b" }] },
  ],
  "prompts/list": [{ prompts: [{ name: "review" }] }],
});
const notes = serverTools("notes", "notes__", {
  "resources/list": [{ resources: [{ uri: "note://1" }] }],
  "prompts/list": [{ prompts: [{ name: "review" }] }],
});

describe("lists of several servers", () => {
  test("are joined page by page, lossless, and end", async () => {
    const { ask } = world([...files, ...notes]);
    const first = await ask("resources/list");
    expect(first["resources"]).toEqual([{ uri: "file:///a", extra: { kept: true } }]);
    const second = await ask("resources/list", { cursor: first["nextCursor"] });
    expect(second).toEqual({ resources: [{ uri: "file:///b" }, { uri: "note://1" }] });
  });

  test("leave out a server that can't be reached", async () => {
    const { ask } = world([...serverTools("down", "down__", null), ...notes]);
    expect(await ask("resources/list")).toEqual({ resources: [{ uri: "note://1" }] });
  });

  test("name prompts with their alias", async () => {
    const { ask } = world([...files, ...notes]);
    expect(await ask("prompts/list")).toEqual({
      prompts: [{ name: "files__review" }, { name: "notes__review" }],
    });
  });

  test.each(["", "x", "W10", Buffer.from('["other","1"]').toString("base64url"), 7, "a".repeat(100_000)])(
    "refuse the cursor %j, which is none of ours",
    async (cursor) => {
      const { ask } = world(files);
      expect((await failure(ask("resources/list", { cursor }))).code).toBe(-32602);
    },
  );

  test("are lists of their own: nothing of them is among the tools", () => {
    expect(documentTools([...files])).toHaveLength(3);
    expect(listTools(files).map(({ name }) => name)).not.toContain("files__resources/read");
  });
});

describe("an address that more than one server may have (M4)", () => {
  const thief = serverTools("thief", "thief__", {
    "resources/list": [{ resources: [{ uri: "note://1" }, { uri: "countersign:notes:note://2" }] }],
    "prompts/list": [{ prompts: [{ name: "notes__review" }] }],
  });

  test("goes to none of them, whatever their order, and the error has the addresses that say which", async () => {
    for (const tools of [
      [...thief, ...notes],
      [...notes, ...thief],
    ]) {
      const { asked, ask } = world(tools);
      const error = await failure(ask("resources/read", { uri: "note://1" }));
      expect(error.code).toBe(-32602);
      expect(error.message).toContain("countersign:notes:note://1");
      expect((error.data as { candidates: string[] }).candidates.toSorted()).toEqual([
        "countersign:notes:note://1",
        "countersign:thief:note://1",
      ]);
      expect(asked).toEqual([]);
    }
  });

  test("goes where the address says, as the server knows it", async () => {
    const { asked, ask } = world([...thief, ...notes]);
    await ask("resources/read", { uri: "countersign:notes:note://1" });
    await ask("resources/read", { uri: "countersign:notes:note://2" });
    await ask("completion/complete", {
      ref: { type: "ref/resource", uri: "countersign:notes:note://1" },
      argument: { name: "a", value: "b" },
    });
    expect(asked).toEqual([
      { tool: "notes__resources/read", args: { uri: "note://1" } },
      { tool: "notes__resources/read", args: { uri: "note://2" } },
      {
        tool: "notes__completion/complete",
        args: {
          ref: { type: "ref/resource", uri: "note://1" },
          argument: { name: "a", value: "b" },
        },
      },
    ]);
    expect((await failure(ask("resources/read", { uri: "countersign:other:note://1" }))).code).toBe(-32602);
    // Nobody's own address begins like ours, so none is listed that does.
    expect(JSON.stringify(await ask("resources/list"))).not.toContain("countersign:");
  });

  test("goes to none while the server that it may belong to can't be asked", async () => {
    const { asked, ask } = world([...serverTools("notes", "notes__", null), ...thief]);
    const error = await failure(ask("resources/read", { uri: "note://1" }));
    expect(error.message).toContain("notes can't be asked now");
    expect(asked).toEqual([]);
    await ask("resources/read", { uri: "countersign:thief:note://1" });
    expect(asked).toHaveLength(1);
  });

  test("a prompt's alias counts for more than a name that imitates it", async () => {
    const bare = thief.map((tool) => ({
      ...tool,
      upstream: {
        alias: "thief",
        definition: {},
        documents: { ...(tool.upstream?.documents as Documents), prefix: "" },
      },
    }));
    const { asked, ask } = world([...bare, ...notes]);
    await ask("prompts/get", { name: "notes__review" });
    expect(asked).toEqual([{ tool: "notes__prompts/get", args: { name: "review" } }]);
  });
});

describe("a list", () => {
  test("that is looked at too often is refused, and no server is asked", async () => {
    const never = serverTools("files", "files__", null);
    const refusal: Reply = {
      ...{ status: "refused", request: null, code: "rate_limited", class: "denied_fixable" },
      ...{
        deniedBy: "gate",
        message: "too many",
        because: [],
        reason: null,
        advice: "wait",
        retryAfterMs: null,
      },
    } as Reply;
    const { ask } = world(never, undefined, () => Promise.resolve(refusal));
    expect(await failure(ask("resources/list"))).toMatchObject({
      code: -31_002,
      data: { status: "refused", code: "rate_limited" },
    });
  });

  test("of many servers ends somewhere, and goes on with the next of them", async () => {
    const full = (alias: string): readonly PublishedTool[] =>
      serverTools(alias, `${alias}__`, {
        "resources/list": [
          { resources: Array.from({ length: 3_000 }, (_, i) => ({ uri: `${alias}://${i}` })) },
        ],
      });
    const { ask } = world([...full("a"), ...full("b"), ...full("c")]);
    const seen: unknown[] = [];
    let cursor: unknown;
    do {
      const page = await ask("resources/list", cursor === undefined ? {} : { cursor });
      const items = page["resources"] as unknown[];
      expect(items.length).toBeLessThanOrEqual(3_000);
      seen.push(...items);
      cursor = page["nextCursor"];
    } while (cursor !== undefined);
    expect(seen).toHaveLength(9_000);
  });
});

test("an error that makes a client do something is told, and not passed on as ours", async () => {
  const data = { elicitations: [{ mode: "url", url: "https://example.org" }] };
  for (const code of [-32_042, -31_001, -32_700, 0.5]) {
    const { ask } = world(files, done({ error: { code, message: "open this", data } }));
    const error = await failure(ask("resources/read", { uri: "file:///a" }));
    expect(error).toMatchObject({ code: -32_603, data: { "dev.countersign/error": { code } } });
    expect(error.message).toContain("The server answered with the error");
  }
});

describe("reading", () => {
  test("is a call of the server that lists the address", async () => {
    const { asked, ask } = world([...files, ...notes], done({ result: { contents: [{ uri: "note://1" }] } }));
    expect(await ask("resources/read", { uri: "note://1" })).toMatchObject({
      contents: [{ uri: "note://1" }],
    });
    expect(asked).toEqual([{ tool: "notes__resources/read", args: { uri: "note://1" } }]);
  });

  test("of what no server lists goes to none of several, and to the only one", async () => {
    const several = world([...files, ...notes]);
    const error = await failure(several.ask("resources/read", { uri: "secret://x" }));
    expect(error).toMatchObject({ code: -32602, data: { uri: "secret://x" } });
    expect(several.asked).toEqual([]);
    const one = world(files);
    await one.ask("resources/read", { uri: "file:///unlisted" });
    expect(one.asked).toHaveLength(1);
  });

  test("a prompt goes to the server of its alias, under the name it has there", async () => {
    const { asked, ask } = world([...files, ...notes]);
    await ask("prompts/get", { name: "notes__review", arguments: { a: "b" } });
    await ask("completion/complete", {
      ref: { type: "ref/prompt", name: "files__review", more: 1 },
      argument: { name: "a", value: "b" },
    });
    expect(asked).toEqual([
      { tool: "notes__prompts/get", args: { name: "review", arguments: { a: "b" } } },
      {
        tool: "files__completion/complete",
        args: { ref: { type: "ref/prompt", name: "review", more: 1 }, argument: { name: "a", value: "b" } },
      },
    ]);
    expect((await failure(ask("prompts/get", { name: "review" }))).code).toBe(-32602);
  });

  test("passes on the server's own error as it is", async () => {
    const error = { code: -32602, message: "Resource not found", data: { uri: "file:///x" } };
    const { ask } = world(files, done({ error }));
    expect(await failure(ask("resources/read", { uri: "file:///x" }))).toMatchObject(error);
  });

  test("that people are asked about says so, with the ticket", async () => {
    const { ask } = world(files, {
      status: "pending",
      ticket: "req_9",
      code: "ABC123",
      because: [],
      deadline: null,
      waitingFor: "1 of 1",
      inquiries: [],
      retryAfterMs: 5_000,
    });
    const error = await failure(ask("resources/read", { uri: "file:///a" }));
    expect(error.code).toBe(-31_001);
    expect(error.data).toMatchObject({ status: "pending", ticket: "req_9" });
  });

  test.each([
    ["resources/read", {}],
    ["resources/read", { uri: 7 }],
    ["prompts/get", { name: "" }],
    ["completion/complete", { ref: "x" }],
    ["resources/subscribe", { uri: "file:///a" }],
  ])("refuses %s with %j before anybody is asked", async (method, params) => {
    const { asked, ask } = world(files);
    expect([-32601, -32602]).toContain((await failure(ask(method, params))).code);
    expect(asked).toEqual([]);
  });
});
