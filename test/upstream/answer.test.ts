import { expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { answerOf } from "../../src/upstream/tool.ts";

const answer = (result: JsonObject): Promise<unknown> => answerOf(true, () => Promise.resolve(result));

test("an answer is passed on as it came, and later changes to it are not", async () => {
  const item = { type: "text", text: "half a line\u2028 and \u{1f600}" };
  const given = { structuredContent: { "10": 1, "9": [0.1, null] }, content: [item] };
  const passed = await answer(given);
  item.text = "something else";
  expect(passed).toStrictEqual({
    typ: "countersign.upstream",
    v: 1,
    result: {
      content: [{ type: "text", text: "half a line\u2028 and \u{1f600}" }],
      structuredContent: { "10": 1, "9": [0.1, null] },
    },
  });
});

test.each([
  [
    "a number that would come out as another one",
    { n: 2 ** 53 },
    "at /result/structuredContent/n: an integer",
  ],
  ["half a pair", { "a/b": "\ud800" }, "at /result/structuredContent/a~1b: a lone surrogate"],
  ["a member named __proto__", JSON.parse('{"__proto__":1}') as JsonObject, "a key named __proto__"],
])("%s is not passed on, and the reply says where it stood", async (_, structuredContent, where) => {
  const passed = await answer({ content: [], structuredContent });
  expect(passed).toStrictEqual({
    typ: "countersign.upstream",
    v: 1,
    result: {
      content: [{ type: "text", text: expect.stringContaining(where) as string }],
      isError: true,
    },
  });
});
