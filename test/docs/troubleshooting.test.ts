import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

// People paste a message into a search. A heading that no message has any more finds nobody.

const root = join(import.meta.dirname, "../..");

async function sources(): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const dir of ["src", "tools"]) {
    const entries = await readdir(join(root, dir), { withFileTypes: true, recursive: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.isFile() && entry.name.endsWith(".ts")) {
        texts.push(await readFile(join(entry.parentPath, entry.name), "utf8"));
      }
    }
  }
  return texts;
}

async function headings(): Promise<readonly string[]> {
  const text = await readFile(join(root, "docs/operating.md"), "utf8");
  const section = text.split(/^## /m).find((part) => part.startsWith("Troubleshooting\n")) ?? "";
  return [...section.matchAll(/^### (.+)$/gm)].map((heading) => heading[1] ?? "");
}

describe("the troubleshooting page", () => {
  test("has headings, and each is a message that the source has", async () => {
    const texts = await sources();
    const messages = await headings();
    expect(messages.length).toBeGreaterThan(10);
    // `…` stands for a value; the words around it stand in one file.
    const gone = messages.filter((message) => {
      const parts = message.split("…").map((part) => part.replaceAll("\\", "").trim());
      return !texts.some((text) => parts.every((part) => text.includes(part)));
    });
    expect(gone).toEqual([]);
  });
});
