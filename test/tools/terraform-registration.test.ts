import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { formatSourceError } from "../../src/base/yaml.ts";
import { parseConfig } from "../../src/config/config-file.ts";
import { ToolRefusal } from "../../src/tool.ts";
import { cliConfigText } from "../../tools/terraform/room.ts";
import {
  WORKSPACE_NAME,
  workspaceDigest,
  workspaceRegistration,
  type WorkspaceRegistration,
} from "../../tools/terraform/registration.ts";
import { createScrub } from "../../tools/terraform/scrub.ts";
import { isInState, stateResources } from "../../tools/terraform/state-compare.ts";
import { planJsonSchema } from "../../tools/terraform/plan-json.ts";
import { checkVariables } from "../../tools/terraform/variables.ts";

const least = {
  repository: "/srv/git/infra.git",
  environment: "prod",
  backend: { local: "/srv/state/net.tfstate" },
};

const errorsOf = (workspace: string): readonly string[] => {
  const schema = z.record(z.string().regex(WORKSPACE_NAME), workspaceRegistration);
  const parsed = parseConfig(
    `version: 1\nworkspaces:\n  net:\n${workspace}`,
    "countersign.yaml",
    z.any(),
    schema,
  );
  return parsed.ok ? [] : parsed.error.map(formatSourceError);
};
const base = `    repository: /srv/git/infra.git
    environment: prod
`;

describe("a registration", () => {
  test("the least one is enough, and its defaults are the careful ones", () => {
    expect(workspaceRegistration.parse(least)).toMatchObject({
      binary: "terraform",
      workspace: "default",
      refs: ["*"],
      providers: { allow: [] },
      allow_external: [],
      allow_destroy: false,
      drift_check: true,
      variables: {},
    });
  });

  test.each<[string, string, RegExp]>([
    [
      "an unknown key",
      "    backend: { local: /s/x }\n    bakend: 1\n",
      /countersign\.yaml:7:5 workspaces\.net\.bakend: .*did you mean backend/,
    ],
    ["a backend that is missing", "", /countersign\.yaml:4:5 workspaces\.net\.backend/],
    [
      "a state path that is relative",
      "    backend: { local: x.tfstate }\n",
      /countersign\.yaml:6:\d+ workspaces\.net\.backend/,
    ],
    [
      "a second workspace in a local state",
      "    backend: { local: /s/x }\n    workspace: blue\n",
      /countersign\.yaml:7:16 workspaces\.net\.workspace: a local state file is one workspace/,
    ],
    [
      "plugins from two places",
      "    backend: { local: /s/x }\n    cli_config: /etc/x.tfrc\n    providers: { allow: [hashicorp/aws] }\n",
      /countersign\.yaml:7:17 workspaces\.net\.cli_config/,
    ],
    [
      "a provider that runs programs",
      "    backend: { local: /s/x }\n    providers: { allow: [hashicorp/external] }\n",
      /countersign\.yaml:7:\d+ workspaces\.net\.providers\.allow\[0\]: .*add data to allow_external/,
    ],
    [
      "an environment that would change terraform itself",
      "    backend: { local: /s/x }\n    env: { TF_CLI_ARGS: { value: -destroy } }\n",
      /workspaces\.net\.env.*would change terraform itself/,
    ],
    [
      "a value from two places",
      "    backend: { local: /s/x }\n    env: { A: { value: x, env: B } }\n",
      /one of value, env and file is expected/,
    ],
    [
      "a variable that both set",
      "    backend: { local: /s/x }\n    variables: { a: { type: bool } }\n    set: { a: { value: true } }\n",
      /workspaces\.net\.set\.a: a variable is set by the agent or by you/,
    ],
    [
      "a pattern that is none",
      '    backend: { local: /s/x }\n    variables: { a: { type: string, pattern: "(" } }\n',
      /a regular expression is expected/,
    ],
    [
      "bounds that leave nothing",
      "    backend: { local: /s/x }\n    variables: { a: { type: number, min: 3, max: 2 } }\n",
      /workspaces\.net\.variables\.a\.min: at most max/,
    ],
    [
      "an external that is not known",
      "    backend: { local: /s/x }\n    allow_external: [everything]\n",
      /countersign\.yaml:7:\d+ workspaces\.net\.allow_external\[0\]/,
    ],
    [
      "a directory above the repository",
      "    backend: { local: /s/x }\n    directory: ../x\n",
      /countersign\.yaml:7:\d+ workspaces\.net\.directory/,
    ],
    [
      "an ssh repository without keys",
      "    backend: { local: /s/x }\n    ca: /etc/ca.pem\n",
      /workspaces\.net\.ca: only an https repository takes it/,
    ],
  ])("%s is an error with its place", (_, text, expected) => {
    expect(errorsOf(base + text).join("\n")).toMatch(expected);
  });

  test("a preloaded library, a provider to attach to, a log file: none is passed on", () => {
    for (const name of [
      "TF_VAR_x",
      "TF_CLI_ARGS_apply",
      "TF_REATTACH_PROVIDERS",
      "TF_LOG_PATH",
      "TF_DATA_DIR",
      "TF_CLI_CONFIG_FILE",
      "LD_PRELOAD",
      "HOME",
      "PATH",
    ]) {
      expect(
        workspaceRegistration.safeParse({ ...least, env: { [name]: { value: "x" } } }).success,
        name,
      ).toBe(false);
    }
    for (const name of [
      "AWS_REGION",
      "TF_TOKEN_app_terraform_io",
      "TF_HTTP_PASSWORD",
      "GOOGLE_CREDENTIALS",
    ]) {
      expect(
        workspaceRegistration.safeParse({ ...least, plan_env: { [name]: { env: "X" } } }).success,
        name,
      ).toBe(true);
    }
  });

  test("another registration is another digest", () => {
    const digest = workspaceDigest(workspaceRegistration.parse(least));
    for (const change of [
      { environment: "demo" },
      { backend: { local: "/srv/state/other" } },
      { directory: "a" },
      { drift_check: false },
    ]) {
      expect(workspaceDigest(workspaceRegistration.parse({ ...least, ...change }))).not.toBe(digest);
    }
  });

  test("plugins come from the mirror, and only those that are named", () => {
    const of = (providers: object): string =>
      cliConfigText(workspaceRegistration.parse({ ...least, providers }));
    expect(of({})).toBe("disable_checkpoint = true\nprovider_installation {\n}\n");
    expect(of({ allow: ["hashicorp/aws"], mirror: "/opt/m" })).toContain(
      'filesystem_mirror {\n    path    = "/opt/m"\n    include = ["hashicorp/aws"]',
    );
    expect(of({ allow: ["hashicorp/aws"] })).toContain('direct {\n    include = ["hashicorp/aws"]');
    expect(of({ allow: ["a/b"], mirror: '/opt/"${x}' })).toContain('"/opt/\\"$${x}"');
  });
});

describe("variables of the agent", () => {
  const registration = workspaceRegistration.parse({
    ...least,
    variables: {
      size: { type: "number", min: 1, max: 5 },
      on: { type: "bool" },
      zone: { type: "string", pattern: "eu-[a-z]+-[1-3]" },
      tier: { type: "string", one_of: ["small", "large"] },
    },
  });
  const codeOf = (given: Record<string, string | number | boolean>): string => {
    try {
      checkVariables(registration, given);
      return "";
    } catch (error) {
      return error instanceof ToolRefusal ? error.code : String(error);
    }
  };

  test("are taken where they are declared, of their type and inside their bounds", () => {
    expect(codeOf({ size: 3, on: true, zone: "eu-west-1", tier: "small" })).toBe("");
    expect(codeOf({ other: 1 })).toBe("variable_not_declared");
    expect(codeOf({ constructor: 1 })).toBe("variable_not_declared");
    for (const given of [
      { size: 6 },
      { size: 0 },
      { size: "3" },
      { on: "true" },
      { zone: "eu-west-1; rm" },
      { zone: "xeu-west-1" },
      { zone: "eu-west-1\n" },
      { tier: "huge" },
    ]) {
      expect(codeOf(given as unknown as Record<string, string>), JSON.stringify(given)).toBe(
        "variable_refused",
      );
    }
  });
});

test("a known secret is taken out of any text, also as JSON writes it", () => {
  const clean = '{"value":(sensitive)}';
  fc.assert(
    fc.property(
      fc.string({ minLength: 4, maxLength: 40 }),
      fc.string(),
      fc.string(),
      (secret, before, after) => {
        fc.pre(secret.trim().length >= 4 && !clean.includes(secret.trim()));
        const scrub = createScrub([secret]);
        const text = `${before} ${secret} ${after}`;
        fc.pre(!`${before} (sensitive) ${after}`.includes(secret));
        expect(scrub(text)).not.toContain(secret);
        expect(scrub(JSON.stringify({ value: secret }))).toBe(clean);
      },
    ),
  );
});

describe("what the state proves", () => {
  const plan = (change: object, outputs: object = {}) =>
    planJsonSchema.parse({
      format_version: "1.2",
      terraform_version: "1.11.4",
      resource_changes: [{ address: "a.b", change }],
      output_changes: outputs,
    });
  const state = (values: object | null, more: object = {}) =>
    stateResources({
      values: { root_module: { resources: values === null ? [] : [{ address: "a.b", values, ...more }] } },
    });

  test("a create shows, and one that did not end well does not", () => {
    const create = plan({ actions: ["create"], before: null, after: { n: 1 }, after_unknown: { id: true } });
    expect(isInState(create, state({ n: 1, id: "x" }))).toBe(true);
    expect(isInState(create, state({ n: 2, id: "x" }))).toBe(false);
    expect(isInState(create, state(null))).toBe(false);
    expect(isInState(create, state({ n: 1, id: "x" }, { tainted: true }))).toBe(false);
  });

  test("a replacement shows by another id only; an update by another value only", () => {
    const replace = plan({
      actions: ["delete", "create"],
      before: { id: "old", n: 1 },
      after: { n: 1 },
      after_unknown: { id: true },
    });
    expect(isInState(replace, state({ id: "old", n: 1 }))).toBe(false);
    expect(isInState(replace, state({ id: "new", n: 1 }))).toBe(true);
    const update = plan({ actions: ["update"], before: { n: 1 }, after: {}, after_unknown: { n: true } });
    expect(isInState(update, state({ n: 2 }))).toBe(false);
  });

  test("a delete shows by absence, and nothing at all proves nothing", () => {
    const gone = plan({ actions: ["delete"], before: { n: 1 }, after: null });
    expect(isInState(gone, state(null))).toBe(true);
    expect(isInState(gone, state({ n: 1 }))).toBe(false);
    expect(isInState(plan({ actions: ["no-op"], before: {}, after: {} }), state({}))).toBe(false);
  });
});

test("the type of a registration is what the schema gives", () => {
  const parsed: WorkspaceRegistration = workspaceRegistration.parse(least);
  expect(Object.keys(parsed)).toContain("stop_grace");
});
