import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { verifyLog } from "../../src/log/verify.ts";
import { missingBrowser, openBrowser, watchPage } from "../support/browser.ts";
import { createFakeClock, type FakeClock } from "../support/fake-clock.ts";
import { openPeopleWorld, type PeopleWorld, type Visitor } from "../support/people-world.ts";
import type { WorldOptions } from "../support/world.ts";

// What people live through with a request, each told once from end to end: done through the API, seen on the pages, and
// found in the log, which verifies afterwards. The clock is the test's.

const MINUTE = 60_000;
let clock: FakeClock;
let gate: PeopleWorld;

async function start(options: WorldOptions = {}): Promise<void> {
  clock = createFakeClock();
  gate = await openPeopleWorld({ clock, ...options });
}
afterEach(async () => {
  const report = await verifyLog(join(gate.world.settings.dataDir, "log"));
  await gate.close();
  expect(report.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
});

let n = 0;
async function ask(book = "ledger", text = `story ${(n += 1)}`): Promise<string> {
  const { json } = await gate.agent.post("/requests", { tool: "write_note", arguments: { book, text } });
  expect(json["status"]).toBe("pending");
  return String(json["ticket"]);
}
/** What the caller learns now. */
const look = async (ref: string): Promise<Record<string, unknown>> =>
  (await gate.agent.get(`/requests/${ref}/outcome`)).json;
/** What the caller learns once it ended, at once or while the change runs. */
const outcome = async (ref: string): Promise<Record<string, unknown>> =>
  (await gate.agent.get(`/requests/${ref}/outcome?wait=10`)).json;

async function after(ms: number): Promise<void> {
  clock.advance(ms);
  await gate.world.home.stewardRound();
  await gate.world.home.stewardRound();
}
/** Kinds of the request's entries, as the API's log tells them. */
async function kinds(who: Visitor, ref: string): Promise<readonly string[]> {
  const { json } = await who.get(`/log?subject=${ref}&limit=100`);
  return (json["entries"] as { kind: string }[]).map(({ kind }) => kind);
}

const STEPS = `rules:
  - id: asks-on
    match: { tool: write_note }
    verdict: hold
    approve: { by: [sre], within: 30m, remind: 4m, escalate: [{ after: 10m, to: [security] }] }
`;

test("nobody answers: they are reminded, whoever is on call is asked too, and answers", async () => {
  const starts = new Date(Math.floor(Date.now() / 1_000) * 1_000 - MINUTE)
    .toISOString()
    .replace(".000Z", "Z");
  await start({ rules: STEPS });
  const { settings } = gate.world;
  const text = await readFile(settings.policyFile, "utf8");
  const duty = `groups: { duty: { on_call: { people: [dee, eva], every: 1h, starts: ${starts} } },`;
  await writeFile(
    settings.policyFile,
    text.replace("groups: {", duty).replace("to: [security]", "to: [duty]"),
  );
  const [ben, dee] = [await gate.signIn("ben"), await gate.signIn("dee")];
  for (const who of [ben, dee]) await adopt(who);

  const ref = await ask();
  expect(await ben.page(`/requests/${ref}`)).toMatch(
    /duty will be asked too in 10m.*On call for duty dee until/,
  );
  expect(await dee.page("/")).toContain("Nothing waits for you.");
  await after(5 * MINUTE);
  expect(await ben.page(`/requests/${ref}`)).toMatch(/reminded every 4m; 1 time so far, last .*: ben, chi\./);
  await after(5 * MINUTE);
  expect(await ben.page(`/requests/${ref}`)).toMatch(/duty asked too, since/);
  expect(await dee.page("/")).toContain("1 request waits for you.");
  expect(await look(ref)).toMatchObject({ status: "pending" });
  // Her sign-in is ten minutes old; a fresh one counts.
  expect((await dee.decide(ref, "approve")).json).toMatchObject({ state: "not_counted" });
  expect((await (await gate.signIn("dee")).decide(ref, "approve")).json).toMatchObject({ state: "granted" });
  expect(await outcome(ref)).toMatchObject({ status: "done" });
  expect(await kinds(dee, ref)).toEqual(expect.arrayContaining(["consent.reminded", "consent.escalated"]));
  expect(await ben.page(`/log?subject=${ref}`)).toMatch(/More people are asked.*People were reminded/);
});

test("nobody answers at all: it expires, nothing runs, and a late answer changes nothing (C5)", async () => {
  await start();
  const ben = await gate.signIn("ben");
  const ref = await ask();
  await after(31 * MINUTE);
  expect((await (await gate.signIn("ben")).decide(ref, "approve")).status).toBe(404);
  expect(await outcome(ref)).toMatchObject({ status: "refused", code: "expired" });
  expect(await ben.page(`/requests/${ref}`)).toMatch(/Expired.*This is settled\./);
  expect(await ben.page("/?list=decided")).toContain("Expired");
  expect(await kinds(ben, ref)).toContain("request.expired");
  expect(gate.world.notes.runs).toEqual([]);
});

test("a person asks, the agent answers, and the page shows both, the answer as a claim", async () => {
  await start();
  const ben = await gate.signIn("ben");
  const ref = await ask();
  expect((await ben.post(`/requests/${ref}/inquiries`, { text: "Which ledger?" })).status).toBe(200);
  const waiting = await look(ref);
  const [inquiry] = waiting["inquiries"] as { id: string; text: string }[];
  expect(inquiry?.text).toBe("Which ledger?");
  expect(await ben.page(`/requests/${ref}`)).toMatch(/Which ledger\? The agent has not answered yet\./);
  const answer = { inquiry: inquiry?.id, text: "<b>The old one</b>" };
  expect((await gate.agent.post(`/requests/${ref}/answers`, answer)).status).toBeLessThan(300);
  expect(await ben.page(`/requests/${ref}`)).toMatch(
    /Agent claude answers \(unverified\).*<b>The old one<\/b>/,
  );
  expect(await kinds(ben, ref)).toEqual(expect.arrayContaining(["inquiry.made", "inquiry.answered"]));
});

test("an approval is taken back, and the other one alone runs nothing", async () => {
  await start();
  const [ben, dee, chi] = [await gate.signIn("ben"), await gate.signIn("dee"), await gate.signIn("chi")];
  const ref = await ask("safe");
  expect((await ben.decide(ref, "approve")).json).toMatchObject({ state: "recorded" });
  expect(await ben.page(`/requests/${ref}`)).toContain("You have approved this.");
  expect((await ben.decide(ref, "take_back", "&reason=wrong+safe")).json).toMatchObject({
    state: "taken_back",
  });
  expect((await dee.decide(ref, "approve")).json).toMatchObject({ state: "recorded" });
  expect(await dee.page(`/requests/${ref}`)).toMatch(
    /dee, 1 missing.*ben took the approval back.*wrong safe/,
  );
  expect(gate.world.notes.runs).toEqual([]);
  expect((await chi.decide(ref, "approve")).json).toMatchObject({ state: "granted" });
  expect(await outcome(ref)).toMatchObject({ status: "done" });
});

test("the caller withdraws, and there is nothing left to decide", async () => {
  await start();
  const ben = await gate.signIn("ben");
  const ref = await ask();
  expect((await gate.agent.post(`/requests/${ref}/withdraw`, {})).status).toBeLessThan(300);
  expect((await ben.decide(ref, "approve")).status).toBe(404);
  expect(await ben.page(`/requests/${ref}`)).toMatch(/Withdrawn.*This is settled/);
  expect(await ben.page("/")).toContain("Nothing waits for you.");
  expect(await kinds(ben, ref)).toContain("request.withdrawn");
});

test("an outcome that was lost is settled by a person who looked: it ran, it did not, or it is asked again", async () => {
  await start();
  const ben = await gate.signIn("ben");
  const settle = async (ref: string, query: string) => {
    const draft = await ben.get(`/requests/${ref}/settlement?message=I+looked&${query}`);
    const { statement } = draft.json;
    return ben.post(`/requests/${ref}/settlement`, { statement, proof: { kind: "session" } });
  };
  const lose = async (text: string): Promise<string> => {
    const ref = await ask("ledger", `${text} LOST_REPLY CANNOT_TELL`);
    expect((await ben.decide(ref, "approve")).json).toMatchObject({ state: "granted" });
    expect(await outcome(ref)).toMatchObject({ status: "unknown" });
    return ref;
  };
  const ran = await lose("ran");
  expect(await ben.page("/")).toContain("Unknown outcomes to settle 1");
  expect(await ben.page(`/requests/${ran}`)).toContain("Did it run?");
  expect((await settle(ran, "outcome=done")).json).toMatchObject({ outcome: "done" });
  expect(await outcome(ran)).toMatchObject({ status: "done" });
  expect(await ben.page(`/requests/${ran}`)).toMatch(/ben found out: I looked/);
  expect(await kinds(ben, ran)).toContain("execution.resolved");

  const not = await lose("not");
  expect((await settle(not, "outcome=failed")).json).toMatchObject({ outcome: "failed", again: null });
  expect(await outcome(not)).toMatchObject({ status: "failed" });

  const again = await lose("again");
  const anew = (await settle(again, "outcome=failed&again=true")).json["again"] as { ticket?: string };
  expect(anew.ticket).toMatch(/^req_/);
  // People decide about it anew; ben asked for it, so somebody else.
  const page = `/requests/${anew.ticket ?? ""}`;
  expect(await ben.page(page)).toContain("You are in the chain that the agent acts for");
  const chi = await gate.signIn("chi");
  expect(await chi.page(page)).toMatch(/Waiting for people.*You would be approval 1 of 1/);
});

test("a person who is disabled between two approvals loses theirs, and their session (C2)", async () => {
  await start();
  const [ben, chi, dee, eva] = [
    await gate.signIn("ben"),
    await gate.signIn("chi"),
    await gate.signIn("dee"),
    await gate.signIn("eva"),
  ];
  const ref = await ask("safe");
  expect((await ben.decide(ref, "approve")).json).toMatchObject({ state: "recorded" });
  const { policyFile } = gate.world.settings;
  const text = await readFile(policyFile, "utf8");
  await writeFile(policyFile, text.replace("  ben: { name: ben,", "  ben: { name: ben, disabled: true,"));
  expect(await chi.page("/policy")).toMatch(/policy\.yaml differs from what runs.*Nobody has signed yet/);
  await adopt(chi);
  expect(await dee.page("/policy")).toContain("Signed by chi.");
  await adopt(dee);
  expect(await dee.page("/policy")).toMatch(/Adopted, signed.*Signed by (chi, dee|dee, chi)/);
  expect((await ben.get("/requests")).status).toBe(401);
  expect(await chi.page("/people")).toContain("Disabled: neither asked nor counted.");
  expect(await chi.page(`/requests/${ref}`)).toContain("Nobody yet, 2 missing");
  expect((await dee.decide(ref, "approve")).json).toMatchObject({ state: "recorded" });
  expect(gate.world.notes.runs).toEqual([]);
  expect((await eva.decide(ref, "approve")).json).toMatchObject({ state: "granted" });
  expect(await outcome(ref)).toMatchObject({ status: "done" });
  expect(await chi.page("/log?kind=policy")).toContain("A policy was adopted");
});

/** Signs the proposal, on the word of a fresh session. */
async function adopt(who: Visitor): Promise<void> {
  const { json } = await who.get("/policy/draft");
  const { statement } = json;
  const answer = await who.post("/policy/endorsements", { statement, proof: { kind: "session" } });
  expect(answer.status, answer.text).toBe(200);
}

test("whoever asked can neither draft nor decide, by token or signed in (C1, P1)", async () => {
  await start();
  const ref = await ask();
  expect((await gate.agent.get(`/requests/${ref}/draft?decision=approve`)).status).toBe(403);
  const ana = await gate.signIn("ana");
  expect(await ana.page(`/requests/${ref}`)).toContain("The agent acts for you");
  expect((await ana.decide(ref, "approve")).json).toMatchObject({ code: "self_approval" });
});

test.skipIf(missingBrowser() !== null)("the three ways to settle are pressed on the page", async () => {
  await start();
  const ben = await gate.signIn("ben");
  const browser = await openBrowser();
  try {
    const context = await browser.newContext();
    // Chromium keeps a __Host- cookie for localhost, and is told of it only as if it came over https.
    const url = gate.origin.replace("http:", "https:");
    await context.addCookies([{ ...ben.cookie, url, secure: true, httpOnly: true }]);
    const page = await context.newPage();
    const { troubles } = watchPage(page, gate.origin);
    for (const [choice, chip] of [
      ["done", "Done"],
      ["failed", "Failed"],
      ["again", "Failed"],
    ] as const) {
      const ref = await ask("ledger", `${choice} LOST_REPLY CANNOT_TELL`);
      await ben.decide(ref, "approve");
      expect(await outcome(ref)).toMatchObject({ status: "unknown" });
      await page.goto(`${gate.origin}/?list=settle`);
      await page.click(`#${ref} a`);
      await page.waitForSelector("html[data-ready]");
      await page.check(`form[data-action=settle] input[value=${choice}]`);
      await page.fill("form[data-action=settle] textarea", `seen in the book: ${choice}`);
      await page.click("form[data-action=settle] [data-submit]");
      await page.waitForSelector(`#status .chip:has-text('${chip}')`);
      expect(await page.locator("#status").innerText()).toContain(
        `ben found out: seen in the book: ${choice}`,
      );
    }
    await page.goto(gate.origin);
    // What was asked for again waits for somebody else than ben, who asked for it.
    await page.waitForSelector("#list-waiting .row");
    expect(troubles).toEqual([]);
  } finally {
    await browser.close();
  }
});
