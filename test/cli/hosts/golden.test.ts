import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { dropEntry, putEntry } from "../../../src/cli/hosts/edit-config.ts";
import { HOST_IDS, HOSTS } from "../../../src/cli/hosts/host.ts";
import { serverEntry } from "../../../src/cli/hosts/launch.ts";
import { renderChange } from "../../../src/cli/hosts/render-change.ts";

// What a person's file looks like before and after, for each host: kept as files, to be read in review.

const golden = join(import.meta.dirname, "../../golden/hosts");
const launch = { command: "/usr/local/bin/node", program: "/opt/countersign/dist/countersign.js", notes: [] };
const served = { kind: "home", home: "/home/ana/countersign", agent: "claude" } as const;

describe.each(HOST_IDS)("%s", (id) => {
  const host = HOSTS[id];
  const place = { file: "mcp.json", section: host.section, name: "countersign" };
  const entry = serverEntry(host, launch, served);
  const before = (): Promise<string> => readFile(join(golden, `${id}.before.json`), "utf8");

  test("its file, with our entry", async () => {
    const edited = putEntry(await before(), place, entry);
    await expect(edited.text).toMatchFileSnapshot(join(golden, `${id}.after.json`));
    await expect(
      `${renderChange("mcp.json", await before(), edited.edits).join("\n")}\n`,
    ).toMatchFileSnapshot(join(golden, `${id}.diff`));
  });

  test("its file, with our entry taken out again", async () => {
    const text = await before();
    const back = dropEntry(putEntry(text, place, entry).text, place).text;
    // A section that was made for us stays, empty.
    if (text.includes(`\n  "${host.section}"`) || id !== "claude-code") expect(back).toBe(text);
    else expect(back).toBe(text.replace("true\n}", 'true,\n  "mcpServers": {}\n}'));
  });

  test("its file, made for our entry", async () => {
    await expect(putEntry("", place, entry).text).toMatchFileSnapshot(join(golden, `${id}.new.json`));
  });
});

const place = { file: "mcp.json", section: "mcpServers", name: "x" };
const put = (text: string): string => putEntry(text, place, { command: "c" }).text;

test.each<[string, string, string]>([
  [
    "line ends of Windows",
    '{\r\n  "a": 1\r\n}\r\n',
    '{\r\n  "a": 1,\r\n  "mcpServers": {\r\n    "x": {\r\n      "command": "c"\r\n    }\r\n  }\r\n}\r\n',
  ],
  [
    "a byte order mark",
    '\uFEFF{"mcpServers":{}}',
    '\uFEFF{"mcpServers":{\n  "x": {\n    "command": "c"\n  }\n}}',
  ],
  [
    "no newline at the end, four columns",
    '{\n    "mcpServers": {}\n}',
    '{\n    "mcpServers": {\n        "x": {\n            "command": "c"\n        }\n    }\n}',
  ],
  [
    "everything on one line",
    '{"a":1,"mcpServers":{"b":{}}}',
    '{"a":1,"mcpServers":{"b":{},"x":{"command":"c"}}}',
  ],
  [
    "nothing but white space",
    "  \n\n",
    '{\n  "mcpServers": {\n    "x": {\n      "command": "c"\n    }\n  }\n}\n',
  ],
  [
    "nothing but a comment",
    "// mine",
    '// mine\n{\n  "mcpServers": {\n    "x": {\n      "command": "c"\n    }\n  }\n}\n',
  ],
  [
    "a comment in an empty section",
    '{\n  "mcpServers": {\n    // none yet\n  }\n}',
    '{\n  "mcpServers": {\n    // none yet\n    "x": {\n      "command": "c"\n    }\n  }\n}',
  ],
])("%s stays as it was", (_what, before, after) => {
  expect(put(before)).toBe(after);
});

test.each<[string, string, RegExp]>([
  ["a brace that is missing", '{\n  "a": 1\n', /^mcp\.json:3:1 not JSON: close brace expected$/],
  ["a comma that is missing", '{\n  "a": 1\n  "b": 2\n}', /^mcp\.json:3:3 not JSON: comma expected$/],
  ["two values", '{"a":1}\n{"b":2}', /^mcp\.json:2:1 not JSON: end of file expected$/],
  ["a single quote", "{'a': 1}", /^mcp\.json:1:2 not JSON/],
  ["a comment without an end", '{"a": 1} /* x', /^mcp\.json:1:10 not JSON/],
  ["a list", "\n[]", /^mcp\.json:2:1 the file has to be an object, and is an array$/],
  ["a word", "null", /^mcp\.json:1:1 the file has to be an object, and is null$/],
  [
    "servers in a list",
    '{"mcpServers": []}',
    /^mcp\.json:1:16 mcpServers has to be an object, and is an array$/,
  ],
  [
    "servers that are a text",
    '{"mcpServers": ""}',
    /^mcp\.json:1:16 mcpServers has to be an object, and is a string$/,
  ],
  [
    "servers that stand there twice",
    '{"mcpServers": {},\n "mcpServers": {}}',
    /^mcp\.json:2:2 mcpServers stands there twice/,
  ],
  [
    "an entry that stands there twice",
    '{"mcpServers": {"x": 1, "\\u0078": 2}}',
    /^mcp\.json:1:25 x stands there twice/,
  ],
  ["a merge that was not finished", '{\n<<<<<<< HEAD\n"a": 1\n}', /^mcp\.json:2:1 not JSON/],
])("%s is refused with its place", (_what, text, message) => {
  expect(() => put(text)).toThrow(
    expect.objectContaining({
      code: "HOST_CONFIG_INVALID",
      message: expect.stringMatching(message) as string,
    }),
  );
});

test("nesting without an end is refused, not crashed upon", () => {
  expect(() => put(`{"a": ${"[".repeat(200_000)}`)).toThrow(
    expect.objectContaining({ code: "HOST_CONFIG_INVALID" }),
  );
});

test("what stands elsewhere under the same name is left alone", () => {
  const text = '{"projects": {"/p": {"mcpServers": {"x": {"command": "theirs"}}}}, "x": 1}';
  expect(put(text)).toContain(
    '{"/p": {"mcpServers": {"x": {"command": "theirs"}}}}, "x": 1,"mcpServers":{"x":{"command":"c"}}}',
  );
});
