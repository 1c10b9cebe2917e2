import type { Browser } from "playwright-core";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { missingBrowser, openBrowser } from "../support/browser.ts";
import { CLIENT_KINDS, type TestClient } from "../support/mcp-clients.ts";
import { sitDown, type PersonAtBrowser } from "../support/person-at-browser.ts";
import {
  missingForMain,
  openRealHome,
  type PolicyFacts,
  type RealHome,
  type RunningGateway,
} from "../support/real-gateway.ts";

// The console as people have it: the bundled gateway, a real Chromium with an authenticator, an agent over MCP. Nothing
// here reaches into the gateway; what a person can't do with the pages and the command line isn't done.

const missing = missingForMain() ?? missingBrowser();

const policy = ({ account, ben, chi }: PolicyFacts): string => `version: 1
people:
  ana: { name: Ana Ruiz, os: ["${account}"] }
  ben: { name: Ben Oduya, ssh: ["${ben}"] }
  chi: { name: Chi Tran, ssh: ["${chi}"] }
  dee: { name: Dee Larsen }
groups: { sre: [ben, chi] }
agents: { claude: { owners: [ana] } }
policy_change: { by: [sre], quorum: 2, assurance: A2 }
rules:
  - id: releases-need-a-passkey
    match: { tool: deploy_service, environment: prod }
    verdict: hold
    approve: { by: [sre], quorum: 1, assurance: A3, within: 30m }
    because: every release is looked at
  - id: the-lab-needs-two
    match: { tool: deploy_service, environment: lab }
    verdict: hold
    approve: { by: [sre], quorum: 2, assurance: A2, within: 30m }
    because: two look at the lab
`;

describe.skipIf(missing !== null)(missing ?? "people at the console", () => {
  let home: RealHome;
  let gateway: RunningGateway;
  let browser: Browser;
  let agent: TestClient;
  let ben: PersonAtBrowser;
  let chi: PersonAtBrowser;

  beforeAll(async () => {
    home = await openRealHome({
      policy,
      config: "passkeys: { deny_aaguids: [], cooling: none }",
      hold: "2s",
    });
    gateway = await home.start();
    browser = await openBrowser();
    agent = await CLIENT_KINDS.find(({ over, era }) => over === "http" && era === "modern")!.connect(
      home.http(gateway),
    );
  }, 60_000);
  afterAll(async () => {
    await agent?.close();
    await browser?.close();
    await gateway?.stop();
    await home?.demandVerified();
    await home?.close();
  });
  afterEach(() => {
    expect([...(ben?.troubles() ?? []), ...(chi?.troubles() ?? [])]).toEqual([]);
  });

  const key = (who: string): string => join(home.root, "user", "keys", who);
  const countersign = async (...args: readonly string[]): Promise<string> => {
    const said = await home.run(["--home", home.home, ...args]);
    if (said.code !== 0) throw new Error(`countersign ${args.join(" ")}:\n${said.out}${said.err}`);
    return said.out;
  };
  /** What `countersign people invite` prints, once two people of policy_change ran it. */
  const invite = async (person: string): Promise<string> => {
    expect(await countersign("people", "invite", person, "--key", key("ben"), "--yes")).toContain("1 more");
    const said = await countersign("people", "invite", person, "--key", key("chi"), "--yes");
    return /^page\s+(\S+)$/m.exec(said)?.[1] ?? said;
  };
  let n = 0;
  /** The agent calls; the ticket of what is held. */
  const ask = async (service = "web"): Promise<string> => {
    n += 1;
    home.source.commit({ "index.html": `<p>release ${n}</p>\n` }, `release ${n}`);
    home.source.git("branch", `release/${n}`);
    const { data } = await agent.call("deploy_service", {
      service,
      ref: `release/${n}`,
      justification: "the sale starts at noon",
    });
    expect(data["status"]).toBe("pending");
    return String(data["ticket"]);
  };
  const outcome = async (ticket: string): Promise<Record<string, unknown>> =>
    (await agent.call("countersign_wait", { ticket })).data;
  /** Review and sign: until the page says what came of it. */
  const sign = async (person: PersonAtBrowser): Promise<void> => {
    await person.page.click("[data-open=approve]");
    await person.page.click("#approve [data-submit]:not(:disabled)");
  };

  test("ben enrols with the link that the command line printed, and is signed in", async () => {
    ben = await sitDown(browser, gateway.api);
    const link = await invite("ben");
    expect(link.startsWith(`${gateway.api}/enrol#ben.`)).toBe(true);
    await ben.enrol(link, "laptop");
    expect(await ben.page.locator("h1").innerText()).toBe("Inbox");
    await ben.go("/people");
    expect(await ben.page.locator("#own-passkeys").innerText()).toContain("laptop");
  });

  test("he reviews and signs what the agent asked for, it runs, and the page follows it to its end", async () => {
    await ben.go("/");
    await ben.page.waitForSelector('[data-live-state="on"]');
    const ticket = await ask();
    // It appears by itself.
    await ben.page.click(`#${ticket} a`);
    await ben.page.waitForSelector("html[data-ready]");
    expect(await ben.page.locator("#main").innerText()).toContain("the sale starts at noon");
    await sign(ben);
    await ben.page.waitForSelector("#status .chip:has-text('Done')");
    expect(await outcome(ticket)).toMatchObject({ status: "done" });
    expect(home.current()).toContain("releases/");

    const [download] = await Promise.all([ben.page.waitForEvent("download"), ben.page.click("text=Receipt")]);
    const receipt = join(home.root, "receipt.json");
    await download.saveAs(receipt);
    // Elsewhere, with nothing but the file.
    const said = await home.run(["verify", receipt]);
    expect(said.code, said.err).toBe(0);
    expect(said.out).toMatch(/decision {4}ben \(Ben Oduya\) approved at \S+, A3, counted/);
    const tampered = join(home.root, "tampered.json");
    await writeFile(tampered, (await readFile(receipt, "utf8")).replaceAll("release/1", "release/9"));
    expect((await home.run(["verify", tampered])).code).not.toBe(0);
  });
});
