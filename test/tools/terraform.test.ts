import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { NoEffect, ToolRefusal } from "../../src/tool.ts";
import { checkTerraform, workspaceRegistration } from "../../tools/apply_infrastructure/tool.ts";
import { readZip } from "../../tools/terraform/snapshot.ts";
import {
  BASE,
  makeTerraformWorld,
  missingTerraform,
  type TerraformWorld,
} from "../support/terraform-world.ts";

// Real terraform, hostile surroundings: what could make another plan run than the one that was shown, in another place,
// twice, or with words of the agent's?

const missing = missingTerraform();
const worlds: TerraformWorld[] = [];
const makeWorld = (files?: Readonly<Record<string, string>>): TerraformWorld => {
  const world = makeTerraformWorld(files);
  worlds.push(world);
  return world;
};
afterEach(() => {
  for (const world of worlds.splice(0)) world.remove();
});

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof ToolRefusal) return error.code;
    if (error instanceof NoEffect) return `no effect: ${error.code}`;
    throw error;
  }
  return "it worked";
};

describe.skipIf(missing !== null)(missing ?? "a sealed plan", () => {
  test("runs in the registered place only: another backend, directory or repository makes it stale", async () => {
    const world = makeWorld({ "main.tf": BASE, "other/main.tf": BASE });
    const preview = await world.preview();
    const registered = world.entry;
    const elsewhere = join(world.dir, "state", "elsewhere.tfstate");
    for (const change of [
      { backend: { local: elsewhere } },
      { directory: "other" },
      { repository: world.dir },
      { environment: "demo" },
    ]) {
      world.entry = { ...registered, ...change };
      const tool = world.apply();
      expect(await tool.guard(preview.plan, world.context())).not.toBe(preview.guard);
      expect(await codeOf(tool.execute(preview.plan, world.context({ preview })))).toBe("no effect: stale");
    }
    expect(existsSync(elsewhere)).toBe(false);
    expect(existsSync(world.state)).toBe(false);
  });

  test("runs once, also where the state was put back to what it was before", async () => {
    const world = makeWorld();
    await world.run();
    const before = readFileSync(world.state);
    const { preview } = await world.run({ variables: { size: 2 } });
    const tool = world.apply();
    expect(await codeOf(tool.execute(preview.plan, world.context({ preview })))).toBe("no effect: stale");
    writeFileSync(world.state, before);
    expect(await codeOf(tool.execute(preview.plan, world.context({ preview })))).toBe(
      "no effect: already_run",
    );
    expect(readFileSync(world.state)).toEqual(before);
  });

  test("that was swapped for another is refused before terraform sees it", async () => {
    const world = makeWorld();
    const [small, large] = [
      await world.preview({ variables: { size: 1 } }),
      await world.preview({ variables: { size: 9 } }),
    ];
    const swapped = { ...small, files: large.files ?? [] };
    expect(await codeOf(world.apply().execute(small.plan, world.context({ preview: swapped })))).toBe(
      "no effect: plan_changed",
    );
    expect(existsSync(world.state)).toBe(false);
  });

  test("is made in a checkout that is compared with the commit each time: a file changed on disk is written anew", async () => {
    const world = makeWorld();
    const preview = await world.preview({ variables: { size: 2 } });
    const rooms = join(world.stateDir, "rooms", "shop");
    const tree = join(rooms, readdirSync(rooms)[0] ?? "", "tree");
    writeFileSync(join(tree, "main.tf"), BASE.replace("shop", "evil"));
    writeFileSync(join(tree, "more.auto.tfvars"), "size = 9\n");
    await world.apply().execute(preview.plan, world.context({ preview }));
    expect(readFileSync(world.state, "utf8")).toContain('"shop"');
    expect(readFileSync(join(tree, "main.tf"), "utf8")).toBe(BASE);
    expect(existsSync(join(tree, "more.auto.tfvars"))).toBe(false);
  });

  test("names what went wrong where terraform changed nothing, and is unknown where it got half way", async () => {
    const world = makeWorld({
      "main.tf": `${BASE}\nresource "terraform_data" "fails" {\n  input = terraform_data.one.id\n  provisioner "local-exec" {\n    command = "exit 3"\n  }\n}\n`,
    });
    world.entry = { ...world.entry, allow_external: ["provisioners"] };
    const tool = world.apply();
    const preview = await world.preview({}, tool);
    const error: unknown = await tool
      .execute(preview.plan, world.context({ preview }))
      .catch((thrown: unknown) => thrown);
    expect(error).not.toBeInstanceOf(NoEffect);
    expect(String(error)).toMatch(/after 1 of 2 operations/);
    expect(await tool.reconcile(preview.plan, world.context({ preview }))).toBe("unknown");
  });

  test("a stop lets terraform write its state, then ends what it started", async () => {
    const world = makeWorld({
      "main.tf": `resource "terraform_data" "slow" {\n  provisioner "local-exec" {\n    command = "sleep 77"\n  }\n}\n`,
    });
    world.entry = { ...world.entry, variables: {}, allow_external: ["provisioners"] };
    const tool = world.apply();
    const preview = await world.preview({}, tool);
    const stop = new AbortController();
    const lines: string[] = [];
    const work = tool.execute(
      preview.plan,
      world.context({
        preview,
        signal: stop.signal,
        progress: (line) => {
          lines.push(line);
          if (line.includes("Provisioning")) stop.abort();
        },
      }),
    );
    await expect(work).rejects.toThrow(/was stopped after/);
    expect(lines.join("\n")).toContain("terraform_data.slow: Creating...");
    // Tainted, and known to be so.
    expect(readFileSync(world.state, "utf8")).toContain("tainted");
  });
});

describe.skipIf(missing !== null)(missing ?? "a preview", () => {
  test("reads nothing of the gateway's environment and home", async () => {
    const world = makeWorld();
    const before = { ...process.env };
    const home = join(world.dir, "home");
    mkdirSync(home);
    writeFileSync(join(home, ".terraformrc"), "this is no configuration {");
    Object.assign(process.env, {
      HOME: home,
      TF_CLI_ARGS: "-destroy",
      TF_CLI_ARGS_plan: "-destroy",
      TF_VAR_size: "8",
      TF_DATA_DIR: join(home, "data"),
      TF_WORKSPACE: "evil",
      TF_LOG: "TRACE",
      TF_LOG_PATH: join(home, "log"),
    });
    try {
      const preview = await world.preview();
      expect(preview.view.counts).toMatchObject({ create: 1, delete: 0 });
      expect(preview.view.changes[0]?.after).toContain("input.size = 1");
      expect(readdirSync(home)).toEqual([".terraformrc"]);
    } finally {
      for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
      Object.assign(process.env, before);
    }
  });

  test("keeps the operator's backend and variables, whatever the configuration brings", async () => {
    const world = makeWorld({
      "main.tf": `${BASE}\nterraform {\n  backend "http" {\n    address = "http://127.0.0.1:1/evil"\n  }\n}\nvariable "owner" {\n  type = string\n}\noutput "owner" {\n  value = var.owner\n}\n`,
      "evil.auto.tfvars": 'owner = "agent"\nsize = 9\n',
      "terraform.tfvars": 'owner = "agent"\n',
    });
    world.entry = { ...world.entry, set: { owner: { value: "operator" } } };
    const { output } = await world.run({ variables: { size: 2 } });
    expect(output).toMatchObject({ outputs: { owner: '"operator"', size: "2" } });
    expect(existsSync(world.state)).toBe(true);
  });

  test.each<[string, Readonly<Record<string, string>>, string]>([
    [
      "a cloud block",
      {
        "main.tf":
          'terraform {\n  cloud {\n    organization = "x"\n    workspaces {\n      name = "y"\n    }\n  }\n}\n',
      },
      "backend_refused",
    ],
    [
      "a backend in an override file",
      {
        "main.tf": BASE,
        "zzz_override.tf": 'terraform {\n  backend "http" {\n    address = "http://127.0.0.1:1/"\n  }\n}\n',
      },
      "backend_refused",
    ],
    [
      "a file of the gateway's own name",
      { "main.tf": BASE, "countersign_override.tf.json": "{}" },
      "path_refused",
    ],
    [
      "a provider that is not allowed",
      { "main.tf": 'resource "random_id" "x" {\n  byte_length = 4\n}\n' },
      "provider_refused",
    ],
    [
      "a module from elsewhere",
      { "main.tf": 'module "x" {\n  source = "git::http://127.0.0.1:1/x"\n}\n' },
      "module_refused",
    ],
    [
      "a configuration that is none",
      { "main.tf": 'resource "terraform_data" "x" {\n  nothing = 1\n}\n' },
      "plan_failed",
    ],
    ["a state in the repository", { "main.tf": BASE, "terraform.tfstate": "{}" }, "state_in_repository"],
    [
      "a variable that the configuration does not have",
      { "main.tf": 'resource "terraform_data" "x" {\n}\n' },
      "variable_unknown",
    ],
  ])("refuses %s", async (_, files, code) => {
    const world = makeWorld(files);
    expect(await codeOf(world.preview({ variables: { size: 1 } }))).toBe(code);
    expect(readdirSync(join(world.dir, "state"))).toEqual([]);
  });

  test("refuses a link that leaves the repository", async () => {
    const world = makeWorld();
    symlinkSync("/etc/passwd", join(world.source.dir, "link"));
    world.source.commit({}, "link");
    expect(await codeOf(world.preview())).toBe("symlink_refused");
  });

  test("shows provisioners that the operator allows, also one that stands in no plan, with their commands and without secrets", async () => {
    const world = makeWorld();
    await world.run();
    world.source.commit(
      {
        "main.tf": `variable "size" {\n  type = number\n  default = 1\n}\nremoved {\n  from = terraform_data.one\n  lifecycle {\n    destroy = true\n  }\n  provisioner "local-exec" {\n    when    = destroy\n    command = "deregister --token hunter2-in-a-command"\n  }\n}\n`,
      },
      "removed",
    );
    world.env = { TOKEN: "hunter2-in-a-command" };
    world.entry = { ...world.entry, allow_external: ["provisioners"], env: { TOKEN: { env: "TOKEN" } } };
    const { view } = await world.preview();
    expect(view.counts).toMatchObject({ provisioners: 1, delete: 1, destroy: 1 });
    expect(view.warnings.map((one) => one.code)).toEqual(expect.arrayContaining(["provisioners", "deletes"]));
    const commands = view.documents.find((one) => one.title === "commands of provisioners")?.body ?? "";
    expect(commands).toContain('command = "deregister --token (sensitive)"');
    expect(JSON.stringify(view)).not.toContain("hunter2");
  });

  test("masks what terraform marks, and the same text where the mark got lost", async () => {
    const world = makeWorld({
      "main.tf": `resource "terraform_data" "x" {\n  input = { open = "seen", hidden = sensitive("hunter2-is-hidden"), short = sensitive("ab") }\n}\noutput "o" {\n  value = nonsensitive(terraform_data.x.output)\n}\n`,
    });
    world.entry = { ...world.entry, variables: {} };
    await world.run();
    world.source.commit(
      {
        "main.tf": `resource "terraform_data" "x" {\n  input = { open = "seen", hidden = sensitive("hunter3-is-hidden"), short = sensitive("ab") }\n}\n`,
      },
      "other secret",
    );
    const { view } = await world.preview();
    const text = JSON.stringify(view);
    expect(text).not.toMatch(/hunter|\\"ab\\"/);
    expect(text).toContain("(sensitive), changed");
    const held = readZip(Buffer.from((await world.preview()).files?.[0]?.bytes ?? []));
    expect(held.get("tfstate")?.().toString("utf8")).toContain("hunter2");
  });

  test("a destroy is asked for in its own word, where the operator allows it", async () => {
    const world = makeWorld();
    await world.run();
    expect(await codeOf(world.preview({ destroy: true }))).toBe("destroy_refused");
    world.entry = { ...world.entry, allow_destroy: true };
    const { preview, output } = await world.run({ destroy: true });
    expect(preview.view).toMatchObject({ verb: "DESTROY", counts: { delete: 1, destroy: 1 } });
    expect(output).toMatchObject({ destroyed: 1 });
    const tool = world.apply();
    expect(tool.effect({ workspace: "shop", ref: "main", variables: {}, destroy: true })).toBe("destructive");
    expect(tool.effect({ workspace: "shop", ref: "main", variables: {}, destroy: false })).toBe("write");
  });

  test("a branch that went on leaves an approved commit valid; drift checks can be left out", async () => {
    const world = makeWorld();
    world.entry = { ...world.entry, drift_check: false };
    const tool = world.apply();
    const preview = await world.preview({}, tool);
    expect(preview.view.warnings.map((one) => one.code)).toContain("no_drift_check");
    world.source.commit({ "main.tf": BASE.replace("shop", "later") }, "later");
    expect(await tool.guard(preview.plan, world.context({ preview }))).toBe(preview.guard);
    await tool.execute(preview.plan, world.context({ preview }));
    expect(readFileSync(world.state, "utf8")).not.toContain("later");
  });
});

describe("without terraform", () => {
  test("the call is refused with how to enable it, and the check says the same", async () => {
    const world = makeWorld();
    world.entry = { ...world.entry, binary: join(world.dir, "no-terraform") };
    expect(await codeOf(world.preview())).toBe("terraform_missing");
    expect(world.apply().refusals["terraform_missing"]).toMatch(/terraform not found.*how to enable/);
    const around = { env: {}, home: join(world.dir, "empty"), signal: AbortSignal.timeout(10_000) };
    const findings = await checkTerraform(
      workspaceRegistration.parse({
        ...world.entry,
        set: { a: { env: "NOT_SET" } },
        env: { B: { file: "/nowhere" } },
      }),
      around,
    );
    expect(findings.filter((one) => !one.ok).map((one) => one.message)).toEqual([
      expect.stringContaining("terraform not found"),
      expect.stringContaining("NOT_SET"),
      expect.stringContaining("/nowhere"),
    ]);
    expect(findings[0]?.hint).toContain("install terraform");
  });

  test("a program that is too old, or none at all, is told apart from one that is not there", async () => {
    const world = makeWorld();
    const old = join(world.dir, "terraform");
    writeFileSync(old, '#!/bin/sh\necho \'{"terraform_version":"1.5.7"}\'\n');
    chmodSync(old, 0o755);
    world.entry = { ...world.entry, binary: old };
    expect(await codeOf(world.preview())).toBe("terraform_unusable");
  });

  test("a machine that must have every target may still go without terraform, if it says so", () => {
    const here = missingTerraform({});
    expect(
      missingTerraform({ COUNTERSIGN_TARGETS: "required", COUNTERSIGN_TARGETS_WITHOUT: "moto, terraform" }),
    ).toBe(here);
    if (here !== null)
      expect(() => missingTerraform({ COUNTERSIGN_TARGETS: "required" })).toThrow("terraform is missing");
  });
});
