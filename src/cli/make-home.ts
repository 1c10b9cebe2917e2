import { createHash, randomBytes } from "node:crypto";
import { chmod, lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatSourceError, type SourceError } from "../base/yaml.ts";
import { parseConfig } from "../config/config-file.ts";
import { CONFIG_FILE } from "../config/locate-home.ts";
import type { Settings } from "../config/settings.ts";
import { CountersignError } from "../errors.ts";
import type { Cli } from "./context.ts";
import type { InitAnswers } from "./init-answers.ts";
import { configText, policyText } from "./init-files.ts";
import type { NewHome } from "./parts.ts";

// Makes a home: two files, the log with its first entries, two tokens. The first approver exists only by this.
//
// Nothing that exists is ever overwritten. What fails before the log is made leaves nothing behind; the log is made
// last but for the tokens, and a home without its tokens says so when it is started.

export interface MadeHome extends NewHome {
  /** Where the tokens are; their values are never printed. */
  readonly mcpTokenFile: string;
  readonly apiTokenFile: string;
}

/**
 * Refuses a place where a home, or a part of one, stands already.
 * @throws CountersignError `LOG_EXISTS`
 */
export async function demandEmpty(home: string): Promise<void> {
  for (const name of [CONFIG_FILE, "policy.yaml", "data"]) {
    const path = join(home, name);
    const isThere = await lstat(path).then(
      () => true,
      () => false,
    );
    if (!isThere) continue;
    throw new CountersignError("LOG_EXISTS", `${path} exists already; init makes new homes only`, {
      hint: "choose another place: --home DIR; people are added in policy.yaml, then: countersign policy adopt",
    });
  }
}

export async function makeHome(
  cli: Cli,
  home: string,
  answers: InitAnswers,
  reload: () => Promise<Settings>,
): Promise<MadeHome> {
  const mcpToken = newToken("csm");
  const apiToken = newToken("csa");
  const config = configText({ answers, mcpTokenSha256: createHash("sha256").update(mcpToken).digest("hex") });
  const policy = policyText(answers, cli.parts.around.account);
  demandValid(cli, config, policy);
  await mkdir(home, { recursive: true, mode: 0o700 });
  await demandEmpty(home);
  const written: string[] = [];
  try {
    for (const [name, text] of [
      [CONFIG_FILE, config],
      ["policy.yaml", policy],
    ] as const) {
      const path = join(home, name);
      await writeFile(path, text, { flag: "wx", mode: 0o600 });
      written.push(path);
    }
    const made = await cli.parts.initHome(await reload());
    const keys = join(home, "data", "keys");
    await mkdir(keys, { recursive: true, mode: 0o700 });
    await chmod(keys, 0o700);
    const mcpTokenFile = join(keys, "mcp.token");
    const apiTokenFile = join(keys, "api.token");
    await writeFile(mcpTokenFile, `${mcpToken}\n`, { flag: "wx", mode: 0o600 });
    await writeFile(apiTokenFile, `${apiToken}\n`, { flag: "wx", mode: 0o600 });
    await writeFile(join(home, "data", ".gitignore"), "*\n", { flag: "wx", mode: 0o600 });
    return { ...made, mcpTokenFile, apiTokenFile };
  } catch (error) {
    const hasLog = await lstat(join(home, "data")).then(
      () => true,
      () => false,
    );
    // With a log in place the files belong to it; without one they are ours to take away again.
    if (!hasLog) for (const path of written) await rm(path, { force: true });
    throw error;
  }
}

/** A bearer token of 256 random bits; the prefix says which port it opens, and lets scanners find a leaked one. */
const newToken = (kind: "csm" | "csa"): string => `${kind}_${randomBytes(32).toString("base64url")}`;

/** What is written has to load; otherwise an answer slipped through that our own files can't carry. */
function demandValid(cli: Cli, config: string, policy: string): void {
  const parsed = parseConfig(config, CONFIG_FILE, cli.parts.servicesSchema);
  if (!parsed.ok) throw rejected("CONFIG_INVALID", parsed.error);
  const loaded = cli.parts.policyTools.load(policy, "policy.yaml");
  if (!loaded.ok) throw rejected("POLICY_INVALID", loaded.error);
}

function rejected(
  code: "CONFIG_INVALID" | "POLICY_INVALID",
  errors: readonly SourceError[],
): CountersignError {
  const lines = errors.map(formatSourceError);
  return new CountersignError(code, lines[0] ?? "the answers make no valid file", {
    hint: "nothing was written; answer differently",
    details: { errors: lines },
  });
}
