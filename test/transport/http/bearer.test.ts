import fc from "fast-check";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { newToken, tokenSha256 } from "../../../src/base/token.ts";
import { createBearer, readTokenFile } from "../../../src/transport/http/bearer.ts";
import { createReplays } from "../../../src/transport/http/replays.ts";

const dir = mkdtempSync(join(tmpdir(), "countersign-bearer-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("only the very token finds its holder, in a header of the right form", () => {
  const tokens = [newToken("csm"), newToken("csm"), newToken("csa")];
  const find = createBearer(tokens.map((token, n) => ({ tokenSha256: tokenSha256(token), n })));
  for (const [n, token] of tokens.entries()) {
    expect(find(`Bearer ${token}`)?.n).toBe(n);
    expect(find(`bearer  ${token}`)?.n).toBe(n);
  }
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String({ minLength: 16 })), (text) => {
      expect(find(text)).toBe(null);
      expect(find(`Bearer ${text}`)).toBe(null);
    }),
  );
  expect(find(undefined)).toBe(null);
});

test("two tokens of a kind are never the same, and their kind can be seen", () => {
  const made = new Set(Array.from({ length: 100 }, () => newToken("csa")));
  expect(made.size).toBe(100);
  for (const token of made) expect(token).toMatch(/^csa_[A-Za-z0-9_-]{43}$/);
});

test("a token file that others may read is refused, and so is none", async () => {
  const path = join(dir, "mcp.token");
  await expect(readTokenFile(path)).rejects.toMatchObject({ code: "HOME_NOT_FOUND" });
  writeFileSync(path, "csm_token\n", { mode: 0o600 });
  expect(await readTokenFile(path)).toBe("csm_token");
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    chmodSync(path, mode);
    await expect(readTokenFile(path)).rejects.toMatchObject({ code: "HOME_INSECURE" });
  }
});

test("a key that is used again gets the first answer once, unless that was worth nothing", async () => {
  let runs = 0;
  const replays = createReplays<number>((answer) => answer > 0, 2);
  const work = async (): Promise<number> => (runs += 1);
  expect(await Promise.all([replays.run("a", "x", work), replays.run("a", "x", work)])).toEqual([1, 1]);
  expect(await replays.run("a", "y", work)).toBe("reused");
  expect(await replays.run("b", "x", async () => 0)).toBe(0);
  expect(await replays.run("b", "y", work)).toBe(2);
  await expect(replays.run("c", "x", () => Promise.reject(new Error("down")))).rejects.toThrow("down");
  expect(await replays.run("c", "x", work)).toBe(3);
  // Only so many are remembered.
  expect(await replays.run("a", "x", work)).toBe(4);
});
