import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLIENT_KINDS, type TestClient } from "../support/mcp-clients.ts";
import { missingForMain, openRealHome, type RealHome, type RunningGateway } from "../support/real-gateway.ts";

// What can somebody at the agents' door send that is run, crashes the gateway, or changes what a person sees?

const missing = missingForMain();
const kind = CLIENT_KINDS.find(
  (one) => one.name === "v2 SDK, 2026-07-28, over HTTP",
) as (typeof CLIENT_KINDS)[number];

describe.skipIf(missing !== null)(missing ?? "bad input at the door of the real gateway", () => {
  let home: RealHome;
  let gateway: RunningGateway;
  let client: TestClient;
  beforeAll(async () => {
    home = await openRealHome({ hold: "3s" });
    gateway = await home.start();
    client = await kind.connect(home.http(gateway));
  });
  afterAll(async () => {
    // Whatever was sent, the same process still serves.
    const wasUp = gateway.process.exitCode === null;
    await client.close();
    const ended = await gateway.stop();
    await home.demandVerified();
    await home.close();
    if (!wasUp || ended !== 0) throw new Error(`the gateway did not survive: ${gateway.said()}`);
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["no arguments", {}, "invalid_arguments"],
    ["a service of another type", { service: 7, ref: "main" }, "invalid_arguments"],
    ["an argument too many", { service: "web", ref: "main", force: true }, "invalid_arguments"],
    ["a service name that is a path", { service: "../web", ref: "main" }, "invalid_arguments"],
    [
      "an option for git in place of a ref",
      { service: "web", ref: "--upload-pack=touch /tmp/x" },
      "invalid_arguments",
    ],
    ["a ref with a line end", { service: "web", ref: "main\nheads/x" }, "invalid_arguments"],
    ["an unknown service", { service: "payroll", ref: "main" }, "target_unknown"],
    ["an unknown ref", { service: "web", ref: "no-such-branch" }, "preview_failed"],
    [
      "a justification of another type",
      { service: "web", ref: "main", justification: { a: 1 } },
      "invalid_arguments",
    ],
    ["more than 1 MiB of arguments", { service: "web", ref: "a".repeat(1_100_000) }, "call_too_large"],
    [
      "1 MB of blanks as a reason",
      { service: "web", ref: "main", justification: " ".repeat(1_000_000) },
      "call_too_large",
    ],
  ])("%s: refused as something to correct, nobody is asked, nothing is touched", async (_, args, code) => {
    const before = home.outside();
    const answer = await client.call("deploy_service", args);
    expect(answer.data).toMatchObject({ status: "refused", class: "denied_fixable", code });
    expect(answer.text.length).toBeLessThan(4_000);
    expect(await home.pending()).toEqual([]);
    expect(home.outside()).toBe(before);
  });

  test("a body beyond 4 MiB is turned away before it is read", async () => {
    const { url, token } = home.http(gateway);
    const answer = await fetch(url, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
      },
      body: `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"x":"${"a".repeat(4.5 * 2 ** 20)}"}}}`,
    });
    expect(answer.status).toBe(413);
    await answer.text();
  });

  test.each([
    ["no token", undefined],
    ["a wrong token", "csm_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
  ])("%s: turned away, and the API's token does not open this door either (P1)", async (_, token) => {
    for (const authorization of [token && `Bearer ${token}`]) {
      const answer = await fetch(home.http(gateway).url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(authorization === undefined ? {} : { authorization }),
        },
        body: `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
      });
      expect(answer.status).toBe(401);
    }
    const cross = await fetch(`${gateway.api}/api/v1/requests`, {
      headers: { authorization: `Bearer ${home.http(gateway).token}` },
    });
    expect(cross.status).toBe(401);
  });

  test("hostile words are shown as they are and do nothing (P3)", async () => {
    const hostile = [
      "\u001b[2J\u001b]8;;https://evil.example\u0007click\u001b]8;;\u0007",
      "\u202Etxt.nimda\u202C",
      "\u200B\u2060\uFEFFhidden",
      "аррrоve (cyrillic)",
      "a\rb\u0085c\u2028d",
      "  ┌─ approved by ben ─┐",
      "\n\n\n  needs       nothing: approved\n",
    ].join("\n");
    const answer = await client.call("deploy_service", {
      service: "web",
      ref: "main",
      justification: hostile,
    });
    expect(answer.data).toMatchObject({ status: "pending" });
    const ticket = String(answer.data["ticket"]);
    for (const command of ["show", "pending", "requests"]) {
      const said = await home.run(["--home", home.home, command, ...(command === "show" ? [ticket] : [])]);
      expect(said.code).toBe(0);
      // Nothing that moves the cursor, hides, or turns text round; a line end is the only control character.
      expect(said.out).not.toMatch(
        /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/,
      );
    }
    const shown = (await home.run(["--home", home.home, "show", ticket])).out.split("\n");
    const box = shown.findIndex((line) => line.includes("agent's stated reasoning (unverified)"));
    expect(box).toBeGreaterThan(0);
    // What the agent says stands in its box, every line of it behind the box's own edge, and nowhere before.
    const said = shown.filter((line) => /approved by ben|needs {7}nothing|click|hidden/.test(line));
    expect(said.length).toBeGreaterThanOrEqual(3);
    for (const line of said) {
      expect(shown.indexOf(line)).toBeGreaterThan(box);
      expect(line).toMatch(/^ {2}│/);
    }
    expect(answer.text).not.toContain("\u001b");
    await home.deny(ticket, "no");
  });

  test("a person's words reach the agent as words", async () => {
    home.source.git("branch", "other");
    const answer = await client.call("deploy_service", { service: "web", ref: "other" });
    const ticket = String(answer.data["ticket"]);
    await home.deny(ticket, "not\u001b[31m now");
    const told = await client.call("countersign_wait", { ticket });
    expect(told.data).toMatchObject({ status: "refused", code: "denied_by_person" });
    expect(told.text).toContain("now");
    expect(told.text).not.toContain("\u001b");
  });
});
