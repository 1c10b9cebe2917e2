import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { formatSourceError } from "../../src/base/yaml.ts";
import { HOSTS } from "../../src/cli/hosts/host.ts";
import { serverEntry } from "../../src/cli/hosts/launch.ts";
import { parseConfig } from "../../src/config/config-file.ts";
import { toolFacts } from "../../src/gate/regime.ts";
import { loadPolicy } from "../../src/policy/load.ts";
import { WORKSPACE_NAME, workspaceRegistration } from "../../tools/apply_infrastructure/tool.ts";
import { createDeployService, SERVICE_NAME, serviceRegistration } from "../../tools/deploy_service/tool.ts";
import { upstreamsSchema } from "../../src/upstream/registration.ts";

const workspaces = z.record(z.string().regex(WORKSPACE_NAME), workspaceRegistration);

// What people copy out of the docs has to work as it stands.

const root = join(import.meta.dirname, "../..");

/** Fenced blocks of a language, in order. */
async function blocks(path: string, language: string): Promise<readonly string[]> {
  const text = await readFile(join(root, path), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(
    (block) => block[1] ?? "",
  );
}

describe("examples in the docs", () => {
  test("the policy of the README loads, its condition checked against the tool", async () => {
    const [policy = ""] = await blocks("README.md", "yaml");
    const tool = createDeployService({ services: {}, stateDir: join(root, "nowhere") });
    const loaded = loadPolicy(policy, { file: "README.md", tools: toolFacts([tool]) });
    if (!loaded.ok) expect.fail(loaded.error.map(formatSourceError).join("\n"));
    expect(loaded.value.people.size).toBe(3);
  });

  test("what the identity page shows of countersign.yaml and policy.yaml loads", async () => {
    const shown = await blocks("docs/identity.md", "yaml");
    expect(shown.length).toBeGreaterThan(3);
    for (const text of shown) {
      const file = `version: 1\n${text}`;
      const parsed = text.includes("oauth:")
        ? parseConfig(file, "docs/identity.md", z.unknown())
        : loadPolicy(file, { file: "docs/identity.md", tools: null });
      if (!parsed.ok) expect.fail(parsed.error.map(formatSourceError).join("\n"));
    }
  });

  test("the countersign.yaml of the operating page loads, and names every section there is", async () => {
    const [config = ""] = await blocks("docs/operating.md", "yaml");
    const services = z.record(z.string().regex(SERVICE_NAME), serviceRegistration);
    const parsed = parseConfig(config, "docs/operating.md", services, workspaces, upstreamsSchema);
    if (!parsed.ok) expect.fail(parsed.error.map(formatSourceError).join("\n"));
    expect(Object.keys(parsed.value.config).toSorted()).toEqual([
      "api",
      "clients",
      "hold",
      "isolation",
      "limits",
      "listeners",
      "log_level",
      "oauth",
      "oidc",
      "passkeys",
      "policy",
      "retention",
      "services",
      "sessions",
      "stdio",
      "upstreams",
      "version",
      "workspaces",
    ]);
  });

  test("the workspace of the terraform page loads", async () => {
    const [config = ""] = await blocks("docs/tools/terraform.md", "yaml");
    const parsed = parseConfig(config, "docs/tools/terraform.md", z.any(), workspaces);
    if (!parsed.ok) expect.fail(parsed.error.map(formatSourceError).join("\n"));
    expect(Object.keys(parsed.value.config.workspaces ?? {})).toEqual(["shop-prod"]);
  });

  test("what the policy page says of terraform is checked against what the tools really give", async () => {
    const rules = (await blocks("docs/policy.md", "yaml")).join("\n");
    const page = await readFile(join(root, "docs/tools/terraform.md"), "utf8");
    const names = [...rules.matchAll(/apply_infrastructure[^]*?verdict/g)].flatMap(([text]) =>
      [...text.matchAll(/preview\.counts\.([a-z_]+)/g)].map((found) => found[1] ?? ""),
    );
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(page).toContain(`\`${name}\``);
  });

  test("what hosts are told to put into their configuration is what install would put there", async () => {
    const launch = { command: "", program: "/path/to/countersign/dist/countersign.js", notes: [] };
    const served = { kind: "home", home: "/path/to/home" } as const;
    const gateway = { kind: "gateway", url: "http://127.0.0.1:7331", tokenFile: "/path/to/token" } as const;
    const desktop = HOSTS["claude-desktop"];
    const written = [
      { section: "mcpServers", entry: serverEntry(desktop, launch, { ...served, agent: "claude-desktop" }) },
      { section: "mcpServers", entry: serverEntry(desktop, launch, gateway) },
      { section: "servers", entry: serverEntry(HOSTS.vscode, launch, { ...served, agent: "vscode" }) },
    ];
    const shown = [
      ...(await blocks("README.md", "json")),
      ...(await blocks("docs/hosts.md", "json")),
    ].flatMap((snippet) =>
      Object.entries(
        z.record(z.string(), z.record(z.string(), z.looseObject({}))).parse(JSON.parse(snippet)),
      ).map(([section, { countersign }]) => ({ section, entry: { ...countersign, command: "" } })),
    );
    const overHttp = shown.findIndex(({ entry }) => "url" in entry);
    expect(shown[overHttp]?.entry).toMatchObject({ type: "http", timeout: 3_600_000 });
    expect(shown.toSpliced(overHttp, 1)).toEqual([written[0], ...written]);
    const [shell = ""] = (await blocks("docs/hosts.md", "sh")).filter((block) => block.includes("add-json"));
    expect({ ...(JSON.parse(/'(\{.*\})'/.exec(shell)?.[1] ?? "{}") as object), command: "" }).toEqual(
      serverEntry(HOSTS["claude-code"], launch, { ...served, agent: "claude-code" }),
    );
  });
});
