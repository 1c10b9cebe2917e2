import { expect, test } from "vitest";
import * as z from "zod";
import { createConfigReader } from "../../src/config/config-file.ts";

const read = () => createConfigReader({ servicesSchema: z.record(z.string(), z.string()) });
const text = (agent: string): string => `version: 1\nstdio: { agent: ${agent} }\n`;

test("the text that was read last is not read again", () => {
  const config = read();
  const first = config(text("claude"), "countersign.yaml");
  const again = config(text("claude"), "elsewhere/countersign.yaml");
  expect(first).toMatchObject({ ok: true, value: { stdio: { agent: "claude" } } });
  expect(again.ok && first.ok && again.value === first.value).toBe(true);
});

test("another text is, and what does not load is told each time, with the name of the file", () => {
  const config = read();
  config(text("claude"), "countersign.yaml");
  expect(config(text("cursor"), "countersign.yaml")).toMatchObject({ value: { stdio: { agent: "cursor" } } });
  for (const file of ["countersign.yaml", "elsewhere/countersign.yaml"]) {
    expect(config(text("[a]"), file)).toMatchObject({ ok: false, error: [{ file, line: 2 }] });
  }
  expect(config(text("cursor"), "countersign.yaml").ok).toBe(true);
});
