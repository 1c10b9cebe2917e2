import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEFAULT_PASSKEYS, type HoldSettings } from "../../src/config/settings.ts";
import { isFault } from "../../src/errors.ts";
import { clientViews } from "../../src/serve/client-views.ts";

// What clients are held for and by, wired as a gateway does it. Does a state outlive the gateway that sealed it, and can
// a name or a setting reach further than it says?

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "countersign-views-"));
  await mkdir(join(dataDir, "keys"), { mode: 0o700 });
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const HOLD: HoldSettings = { ms: 40_000, clients: { "some-client": 300_000 }, rounds: 9, showPage: false };
const views = (hold: Partial<HoldSettings> = {}, origins: readonly string[] = []) =>
  clientViews({ hold: { ...HOLD, ...hold }, dataDir, passkeys: { ...DEFAULT_PASSKEYS, origins } }, Date.now);
const CALL = {
  caller: { principal: { kind: "named", id: "ana" }, agent: "a", transport: "http", client: null },
  tool: "t",
  arguments: {},
} as const;
const ROUND = { ticket: "req_01ARZ3NDEKTSV4RRFFQ69G5FAV", round: 2 };

test("a state that one gateway sealed opens in the next one of the home, and in no other", async () => {
  const state = (await views()).rounds?.sealed.seal(CALL, ROUND);
  expect((await views()).rounds?.sealed.open(CALL, state)).toEqual(ROUND);
  expect((await stat(join(dataDir, "keys", "round.key"))).mode & 0o777).toBe(0o600);
  await rm(join(dataDir, "keys", "round.key"));
  expect((await views()).rounds?.sealed.open(CALL, state)).toBeNull();
});

test("two gateways that start at once on a new home seal with one key", async () => {
  const [one, other] = await Promise.all([views(), views()]);
  expect(other.rounds?.sealed.open(CALL, one.rounds?.sealed.seal(CALL, ROUND))).toEqual(ROUND);
});

test("a key that is none stops the gateway, and says what to do", async () => {
  await writeFile(join(dataDir, "keys", "round.key"), "short", { mode: 0o600 });
  const failure: unknown = await views().catch((error: unknown) => error);
  expect(isFault(failure, "HOME_INSECURE") && failure.hint).toContain("delete it");
});

test("without rounds there is no state, and no key is made for one", async () => {
  expect((await views({ rounds: 0 })).rounds).toBeUndefined();
  await expect(stat(join(dataDir, "keys", "round.key"))).rejects.toThrow("ENOENT");
});

test("a client is held by its own name only where the operator or a trial says so", async () => {
  const { holdMs, holdFor } = await views();
  const named = (name: string): number | null => holdFor({ name, version: "1" });
  expect([holdMs, holdFor(null), named("some-client")]).toEqual([40_000, null, 300_000]);
  for (const name of ["constructor", "__proto__", "toString", "Some-Client", ""])
    expect(named(name)).toBeNull();
});

test("a requester is pointed at a page only where the operator wants it and has said where pages are", async () => {
  const page = async (showPage: boolean, origins: readonly string[]) =>
    (await views({ showPage }, origins)).rounds?.pageOf("req_1");
  expect(await page(false, ["https://gate.example.com"])).toBeNull();
  expect(await page(true, [])).toBeNull();
  expect(await page(true, ["https://gate.example.com"])).toBe("https://gate.example.com/requests/req_1");
});
