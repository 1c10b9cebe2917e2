import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { canonicalJson, type JsonObject } from "../../src/base/canonical-json.ts";
import type { RequestId } from "../../src/base/id.ts";
import type { Reply } from "../../src/gate/reply.ts";
import { passedResult } from "../../src/transport/mcp/fronted.ts";
import { renderReply } from "../../src/transport/mcp/render.ts";
import { listTools } from "../../src/transport/mcp/tool-list.ts";
import { fixtureEntry, makeUpstreamWorld, npmServer, type UpstreamWorld } from "../support/upstream-world.ts";
import { CALLER, callTool, decide, ticketOf, type World } from "../support/world.ts";

// Servers as npm installs them, really acting: does nothing happen on the disk or in a repository before a person has
// approved, and is what then happens what was approved?

let world: UpstreamWorld;
afterEach(() => world.close());

const scoped = (name: string): string => npmServer(`@modelcontextprotocol/${name}/dist/index.js`);
const node = (script: string, ...args: readonly string[]): readonly string[] => [
  process.execPath,
  script,
  ...args,
];
const ask = (tool: string, args: JsonObject): Promise<Reply> =>
  callTool(world.home, tool, args, { holdMs: 0 });
const approve = async (held: Reply): Promise<Reply> => {
  const decided = await decide(world as unknown as World, world.home, ticketOf(held), "ben");
  if (!decided.ok) throw new Error(JSON.stringify(decided));
  return world.home.gate.wait(ticketOf(held), CALLER, {
    holdMs: 30_000,
    signal: new AbortController().signal,
  });
};
const viewOf = async (held: Reply) => (await world.home.desk.open(ticketOf(held) as RequestId)).view;
const read = (tool: string, args: JsonObject): Promise<Reply> =>
  callTool(world.home, tool, args, { holdMs: 30_000 });
const textOf = (reply: Reply): string => {
  const content = passedResult(reply)?.content as readonly { readonly text?: string }[] | undefined;
  if (content === undefined) throw new Error(JSON.stringify(reply));
  return content.map(({ text }) => text ?? "").join("\n");
};

test("filesystem: a write is held with the file as it is, and the file is as it was until then", async () => {
  world = await makeUpstreamWorld((dir) => ({
    files: {
      command: node(scoped("server-filesystem"), dir),
      environment: "prod",
      vouch: true,
      tools: {
        write_file: { before: { tool: "read_text_file", args: { path: { from: "path" } } } },
        edit_file: { dry_run: { argument: "dryRun", value: true } },
      },
    },
  }));
  const file = join(world.dir, "motd");
  writeFileSync(file, "hello\n");
  const held = await ask("files__write_file", { path: file, content: "bye\n" });
  expect((await viewOf(held)).preview).toMatchObject({
    fidelity: "checked",
    documents: [{ kind: "text", body: "hello\n" }],
  });
  expect(readFileSync(file, "utf8")).toBe("hello\n");
  expect(textOf(await approve(held))).toContain("Successfully wrote");
  expect(readFileSync(file, "utf8")).toBe("bye\n");

  // Its own dry run, as a diff.
  const edit = await ask("files__edit_file", {
    path: file,
    edits: [{ oldText: "bye", newText: "good bye" }],
  });
  const view = await viewOf(edit);
  expect(view.preview).toMatchObject({ fidelity: "estimated", documents: [{ kind: "diff" }] });
  expect(view.preview.documents[0]?.body).toContain("+good bye");
  expect(readFileSync(file, "utf8")).toBe("bye\n");
  // Somebody else was there meanwhile: what was approved is not what would happen.
  writeFileSync(file, "bye bye\n");
  expect(await approve(edit)).toMatchObject({ status: "refused", code: "stale" });
  expect(readFileSync(file, "utf8")).toBe("bye bye\n");

  // A file that is not there is something to see, too.
  const fresh = await ask("files__write_file", { path: join(world.dir, "new"), content: "x" });
  expect((await viewOf(fresh)).preview.documents[0]?.body).toContain("ENOENT");
  expect(existsSync(join(world.dir, "new"))).toBe(false);
  await approve(fresh);
  expect(readFileSync(join(world.dir, "new"), "utf8")).toBe("x");

  // Vouched reads go through, and the server's own errors come back as it said them.
  expect(textOf(await read("files__read_text_file", { path: file }))).toBe("bye bye\n");
  expect(renderReply(await read("files__read_text_file", { path: join(world.dir, "none") }))).toMatchObject({
    isError: true,
  });
});

test("memory: what was approved stands in its graph, structured results and all", async () => {
  world = await makeUpstreamWorld((dir) => ({
    graph: {
      command: node(scoped("server-memory")),
      env: { MEMORY_FILE_PATH: join(dir, "memory.jsonl") },
      environment: "prod",
      vouch: ["read_graph"],
    },
  }));
  const entities = [{ name: "ana", entityType: "person", observations: ["likes ü", "1e3"] }];
  const held = await ask("graph__create_entities", { entities });
  expect(existsSync(join(world.dir, "memory.jsonl"))).toBe(false);
  const done = await approve(held);
  expect(passedResult(done)).toMatchObject({ structuredContent: { entities } });
  const stored = JSON.parse(readFileSync(join(world.dir, "memory.jsonl"), "utf8")) as {
    observations: unknown;
  };
  expect(stored.observations).toEqual(["likes ü", "1e3"]);
  expect(passedResult(await read("graph__read_graph", {}))).toMatchObject({
    structuredContent: { entities },
  });
});

test("everything: get-env calls itself read-only, is held all the same, and has no secret of the gateway", async () => {
  world = await makeUpstreamWorld(() => ({
    every: {
      command: node(scoped("server-everything"), "stdio"),
      env: { PUBLIC: "yes" },
      environment: "prod",
      tools: { echo: { effect: "read" }, "get-tiny-image": { effect: "read" } },
    },
  }));
  const held = await ask("every__get-env", {});
  expect(held.status).toBe("pending");
  expect((await viewOf(held)).effect).toBe("destructive");
  const env = textOf(await approve(held));
  expect(env).toContain("PUBLIC");
  expect(env).not.toMatch(/COUNTERSIGN|of the gateway/);
  expect(textOf(await read("every__echo", { message: "ü" }))).toContain("ü");
  const image = passedResult(await read("every__get-tiny-image", {}))?.content as readonly { type: string }[];
  expect(image.map(({ type }) => type)).toContain("image");
});

test("git: a commit is made once a person approved it, and not before", async () => {
  world = await makeUpstreamWorld((dir) => {
    mkdirSync(join(dir, "repo"));
    return {
      git: {
        command: node(npmServer("@cyanheads/git-mcp-server/dist/index.js")),
        env: {
          GIT_BASE_DIR: dir,
          MCP_TRANSPORT_TYPE: "stdio",
          LOGS_DIR: join(dir, "logs"),
          GIT_SIGN_COMMITS: "false",
        },
        environment: "prod",
        vouch: true,
        tools: {
          git_commit: { before: { tool: "git_status", args: { path: { from: "path" } } } },
          git_add: { effect: "write" },
        },
      },
    };
  });
  const repo = join(world.dir, "repo");
  const git = (...args: readonly string[]): string =>
    execFileSync("git", ["-C", repo, ...args], {
      env: { PATH: process.env["PATH"], HOME: world.dir },
    }).toString();
  execFileSync("git", ["init", "-q", "-b", "main", repo]);
  git("config", "user.name", "t");
  git("config", "user.email", "t@example.org");
  git("commit", "-q", "--allow-empty", "-m", "first");
  writeFileSync(join(repo, "a.txt"), "a\n");
  const before = git("rev-parse", "HEAD");
  git("add", "a.txt");
  const held = await ask("git__git_commit", { path: repo, message: "second: ü" });
  expect((await viewOf(held)).preview).toMatchObject({ fidelity: "checked" });
  expect(git("rev-parse", "HEAD")).toBe(before);
  const done = await approve(held);
  expect(renderReply(done).isError).not.toBe(true);
  expect(git("log", "-1", "--format=%s").trim()).toBe("second: ü");
  expect(git("rev-parse", "HEAD^")).toBe(before);
});

test("353 tools pass unshortened, with their schemas as the server wrote them", async () => {
  world = await makeUpstreamWorld((dir) => ({ fix: fixtureEntry(dir, { env: { FIXTURE_TOOLS: "341" } }) }));
  const tools = listTools(world.home.gate.tools()).filter(({ name }) => name.startsWith("fix__"));
  expect(tools).toHaveLength(353);
  const append = tools.find(({ name }) => name === "fix__append") as unknown as JsonObject;
  const schema = append["inputSchema"] as JsonObject;
  const { justification: _, ...properties } = schema["properties"] as JsonObject;
  expect(canonicalJson({ ...schema, properties, required: ["line"] })).toBe(
    canonicalJson({
      type: "object",
      properties: { line: {}, dryRun: { type: "boolean" } },
      required: ["line"],
      additionalProperties: false,
    }),
  );
  const done = await callTool(world.home, "fix__extra_340", { any: { thing: [1] } }, { holdMs: 30_000 });
  expect(textOf(done)).toBe("called extra_340");
});
