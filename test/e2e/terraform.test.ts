import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeGitSource, type GitSource } from "../support/git-source.ts";
import { CLIENT_KINDS, type TestClient } from "../support/mcp-clients.ts";
import { missingForMain, openRealHome, type RealHome, type PolicyFacts } from "../support/real-gateway.ts";
import { missingTerraform } from "../support/terraform-world.ts";

// The main job with terraform, by the bundled command over MCP: what was shown is what is applied, once, in its place.

const missing = missingForMain() ?? missingTerraform();
const kind = CLIENT_KINDS.find(
  (one) => one.name === "v2 SDK, 2026-07-28, over stdio",
) as (typeof CLIENT_KINDS)[number];

const PASSWORD = "correct-horse-battery-staple-71";
const KEY = "AKIA-provider-key-of-the-operator";
const STATE_SECRET = "generated-inside-the-state-4242";

const policy = ({ account, ben, chi }: PolicyFacts): string => `version: 1
people:
  ana: { name: Ana Ruiz, os: ["${account}"] }
  ben: { name: Ben Oduya, ssh: ["${ben}"] }
  chi: { name: Chi Tran, ssh: ["${chi}"] }
groups: { sre: [ben, chi] }
agents: { claude: { owners: [ana] } }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }
policy_change: { by: [sre], quorum: 2, assurance: A2 }
rules:
  - id: planning-is-free
    match: { tool: plan_infrastructure }
    verdict: allow
  - id: prod-is-looked-at
    match: { tool: apply_infrastructure, environment: prod }
    verdict: hold
  - id: deletes-need-two
    match: { tool: apply_infrastructure, environment: prod }
    when: preview.counts.destroy > 0
    verdict: hold
    approve: { by: [sre], quorum: 2, assurance: A2, within: 1h }
    because: deleting production resources needs two people
`;

const config = (resources: string): string => `variable "size" {
  type    = number
  default = 1
}

variable "password" {
  type      = string
  sensitive = true
}

${resources}

output "password" {
  value     = var.password
  sensitive = true
}
`;

const one = `resource "terraform_data" "one" {
  input = { size = var.size, password = var.password, generated = sensitive("${STATE_SECRET.slice(0, 9)}\${"${STATE_SECRET.slice(9)}"}") }
}`;
const two = `resource "terraform_data" "two" {
  triggers_replace = [var.size]
}`;

describe.skipIf(missing !== null)(missing ?? "terraform by MCP", () => {
  let dir: string;
  let source: GitSource;
  let state: string;
  let home: RealHome;
  let client: TestClient;
  const replies: string[] = [];

  beforeAll(async () => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "cs-tf-e2e-")));
    source = makeGitSource(dir);
    source.commit({ "main.tf": config(one) }, "one");
    mkdirSync(join(dir, "state"));
    state = join(dir, "state", "shop.tfstate");
    const secret = join(dir, "password");
    writeFileSync(secret, `${PASSWORD}\n`, { mode: 0o600 });
    const workspace = {
      repository: source.dir,
      environment: "prod",
      backend: { local: state },
      refs: ["*"],
      variables: { size: { type: "number", min: 1, max: 9 } },
      set: { password: { file: secret } },
      env: { EXAMPLE_KEY: { env: "OPERATORS_KEY" } },
    };
    home = await openRealHome({
      hold: "60s",
      policy,
      config: `workspaces:
  shop: ${JSON.stringify(workspace)}
limits: { previews_per_hour: 100000, held_per_minute: 100000, open_requests: 1000 }`,
    });
    const endpoint = home.stdio();
    client = await kind.connect({
      ...endpoint,
      env: { ...endpoint.env, OPERATORS_KEY: KEY, TF_CLI_ARGS_apply: "-lock=false", TF_VAR_size: "9" },
    });
  });
  afterAll(async () => {
    await client?.close();
    await home?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const call = async (tool: string, args: Record<string, unknown>): Promise<Record<string, unknown>> => {
    const { data } = await client.call(tool, { workspace: "shop", ref: "main", ...args });
    replies.push(JSON.stringify(data));
    return data;
  };
  /** Asks, and gives what people are shown. */
  const ask = async (
    args: Record<string, unknown>,
  ): Promise<{
    readonly request: string;
    readonly card: string;
    readonly answer: Promise<Record<string, unknown>>;
  }> => {
    const answer = call("apply_infrastructure", args);
    answer.catch(() => undefined);
    const { request } = await Promise.race([
      home.nextPending(),
      answer.then((data) => {
        throw new Error(`it was not held: ${JSON.stringify(data)}`);
      }),
    ]);
    const shown = await home.run(["--home", home.home, "show", request]);
    replies.push(shown.out);
    return { request, card: shown.out, answer };
  };
  const serial = (): number => (JSON.parse(readFileSync(state, "utf8")) as { serial: number }).serial;
  const inputs = (): unknown[] =>
    (JSON.parse(readFileSync(state, "utf8")) as { resources: { name: string }[] }).resources.map(
      (at) => at.name,
    );

  test("planning is a read: it tells what would happen, masked, and changes nothing", async () => {
    const told = await call("plan_infrastructure", { variables: { size: 2 } });
    expect(told).toMatchObject({ status: "done", result: { summary: "1 to create", counts: { create: 1 } } });
    expect(existsSync(state)).toBe(false);
  });

  test("a create is held, shown, approved and applied exactly", async () => {
    const { request, card, answer } = await ask({ variables: { size: 2 } });
    expect(card).toContain("terraform_data.one");
    expect(card).toContain("input.size = 2");
    expect(card).toContain("(sensitive)");
    expect(existsSync(state)).toBe(false);
    expect((await home.approve(request)).code).toBe(0);
    expect(await answer).toMatchObject({
      status: "done",
      result: { added: 1, changed: 0, destroyed: 0, outputs: { password: "(sensitive)" } },
    });
    expect(inputs()).toEqual(["one"]);
  });

  test("no changes: nobody is asked, and the answer says so", async () => {
    const told = await call("apply_infrastructure", { ref: "refs/heads/main", variables: { size: 2 } });
    expect(told).toMatchObject({ status: "refused", class: "denied_fixable" });
    expect(JSON.stringify(told)).toContain("no changes");
    expect(home.asked()).toEqual([]);
  });

  test("a change: a .tf that is pushed after the plan changes nothing of what was approved", async () => {
    const { request, card, answer } = await ask({ variables: { size: 3 } });
    expect(card).toMatch(/input\.size = 2[^]*input\.size = 3/);
    source.commit({ "main.tf": config(`${one}\n\n${two}`) }, "two, pushed after the plan");
    await home.approve(request);
    expect(await answer).toMatchObject({ status: "done", result: { added: 0, changed: 1, destroyed: 0 } });
    expect(inputs()).toEqual(["one"]);
  });

  test("a replacement says why, and needs the two people that the policy asks for", async () => {
    const first = await ask({ ref: "refs/heads/main", variables: { size: 3 } });
    await home.approve(first.request);
    expect(await first.answer).toMatchObject({ status: "done", result: { added: 1 } });
    const { request, card, answer } = await ask({ variables: { size: 4 } });
    expect(card).toMatch(/replace[^]*terraform_data\.two[^]*can't be changed in place/);
    expect(card).toContain("triggers_replace");
    const before = serial();
    await home.approve(request, "ben");
    expect(serial()).toBe(before);
    await home.approve(request, "chi");
    expect(await answer).toMatchObject({ status: "done", result: { added: 1, changed: 1, destroyed: 1 } });
  });

  test("an approved plan is refused after an out-of-band change: stale, and nothing runs", async () => {
    const { request, answer } = await ask({ variables: { size: 5 } });
    const now = JSON.parse(readFileSync(state, "utf8")) as { serial: number };
    writeFileSync(state, JSON.stringify({ ...now, serial: now.serial + 1 }));
    const before = readFileSync(state, "utf8");
    await home.approve(request, "ben");
    await home.approve(request, "chi");
    expect(await answer).toMatchObject({ status: "refused", code: "stale" });
    expect(readFileSync(state, "utf8")).toBe(before);
    expect(
      home
        .entries()
        .filter((entry) => entry.subject === request)
        .map((entry) => entry.kind),
    ).not.toContain("execution.dispatched");
  });

  test("a delete says so, in the effect line and the counts", async () => {
    source.commit({ "main.tf": config(one) }, "without two");
    const { request, card, answer } = await ask({ ref: "refs/heads/main", variables: { size: 4 } });
    expect(card).toContain("APPLY WITH DELETES");
    expect(card).toMatch(/delete[^]*terraform_data\.two[^]*stands no longer in the configuration/);
    await home.approve(request, "ben");
    await home.approve(request, "chi");
    expect(await answer).toMatchObject({ status: "done", result: { destroyed: 1 } });
    expect(inputs()).toEqual(["one"]);
  });

  test("external data and provisioners don't run at a preview, and are refused", async () => {
    const mark = join(dir, "ran");
    for (const [text, word] of [
      [`data "external" "x" {\n  program = ["/usr/bin/touch", "${mark}"]\n}`, "while it is planned"],
      [
        `resource "terraform_data" "p" {\n  provisioner "local-exec" {\n    command = "touch ${mark}"\n  }\n}`,
        "provisioners",
      ],
      [
        `removed {\n  from = terraform_data.one\n  lifecycle {\n    destroy = true\n  }\n  provisioner "local-exec" {\n    when    = destroy\n    command = "touch ${mark}"\n  }\n}`,
        "provisioners",
      ],
      [`output "stolen" {\n  value = file("${join(dir, "password")}")\n}`, "outside of its repository"],
    ] as const) {
      source.commit({ "main.tf": config(text.startsWith("removed") ? text : `${one}\n\n${text}`) }, "evil");
      for (const tool of ["plan_infrastructure", "apply_infrastructure"]) {
        expect(JSON.stringify(await call(tool, {}))).toContain(word);
      }
    }
    expect(existsSync(mark)).toBe(false);
    expect(home.asked()).toEqual([]);
  });

  test("the agent names no path, backend or option", async () => {
    for (const args of [
      { directory: "/etc" },
      { backend: { local: "/tmp/x" } },
      { variables: { password: "mine" } },
      { destroy: true },
      { variables: { size: 99 } },
      { workspace: "other" },
    ]) {
      expect(await call("plan_infrastructure", args)).toMatchObject({ status: "refused" });
    }
  });

  test("no secret of state, variables or credentials is in any reply, card, log, blob or file of the gateway's", async () => {
    await home.demandVerified();
    const said = replies.join("\n");
    for (const secret of [PASSWORD, KEY, STATE_SECRET]) expect(said).not.toContain(secret);
    let files = 0;
    const walk = (at: string): void => {
      for (const name of readdirSync(at)) {
        const path = join(at, name);
        const found = statSync(path, { throwIfNoEntry: false });
        if (found?.isDirectory() === true) walk(path);
        else if (found?.isFile() === true) {
          files += 1;
          const text = readFileSync(path, "latin1");
          for (const secret of [PASSWORD, KEY, STATE_SECRET]) expect(text.includes(secret), path).toBe(false);
        }
      }
    };
    walk(join(home.home, "data"));
    expect(files).toBeGreaterThan(20);
    // They do stand where they have to: the search can find.
    expect(readFileSync(state, "latin1")).toContain(PASSWORD);
    expect(readFileSync(state, "latin1")).toContain(STATE_SECRET);
  });
});
