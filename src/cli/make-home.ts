import { lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newToken, tokenSha256 } from "../base/token.ts";
import { formatSourceError, type SourceError } from "../base/yaml.ts";
import { parseConfig } from "../config/config-file.ts";
import { CONFIG_FILE } from "../config/locate-home.ts";
import type { Settings } from "../config/settings.ts";
import { CountersignError, isFault } from "../errors.ts";
import type { Cli } from "./context.ts";
import type { InitAnswers } from "./init-answers.ts";
import { configText, policyText } from "./init-files.ts";
import type { NewHome } from "./parts.ts";

// Makes a home: two files, two tokens, then the log with its first entries. The first approver exists only by this.
//
// Nothing that exists is ever overwritten. What a crash leaves: before the last token, files that the next run names
// and does not touch; after it, a home that was begun, and the next run only has to make its log.

const MCP_TOKEN = join("data", "keys", "mcp.token");
const API_TOKEN = join("data", "keys", "api.token");

/**
 * Whether a place is free for a new home, or holds one whose log is still to be made.
 * @throws CountersignError `LOG_EXISTS` where anything else stands there
 */
export async function stateOf(home: string): Promise<"empty" | "begun"> {
  const parts = [CONFIG_FILE, "policy.yaml", MCP_TOKEN, API_TOKEN];
  if ((await Promise.all(parts.map((name) => isThere(join(home, name))))).every(Boolean)) return "begun";
  for (const name of [CONFIG_FILE, "policy.yaml", "data"]) {
    if (await isThere(join(home, name))) throw exists(join(home, name));
  }
  return "empty";
}

const exists = (path: string, cause?: unknown): CountersignError =>
  new CountersignError("LOG_EXISTS", `${path} exists already; init makes new homes only`, {
    hint: "choose another place: --home DIR; people are added in policy.yaml, then: countersign policy adopt",
    cause,
  });

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

/** Writes everything but the log. What fails on the way leaves nothing behind. */
export async function writeHome(cli: Cli, home: string, answers: InitAnswers): Promise<void> {
  const mcpToken = newToken("csm");
  const config = configText({
    answers,
    mcpTokenSha256: tokenSha256(mcpToken),
  });
  const policy = policyText(answers, cli.parts.around.account);
  demandValid(cli, config, policy);
  await mkdir(home, { recursive: true, mode: 0o700 });
  await stateOf(home);
  await mkdir(join(home, "data"), { mode: 0o700 });
  const written: string[] = [join(home, "data")];
  try {
    await mkdir(join(home, "data", "keys"), { mode: 0o700 });
    for (const [name, text] of [
      [join("data", ".gitignore"), "*\n"],
      [CONFIG_FILE, config],
      ["policy.yaml", policy],
      [API_TOKEN, `${newToken("csa")}\n`],
      [MCP_TOKEN, `${mcpToken}\n`],
    ] as const) {
      const path = join(home, name);
      await writeFile(path, text, { flag: "wx", mode: 0o600 });
      written.push(path);
    }
  } catch (error) {
    for (const path of written) await rm(path, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Makes the log of a home that {@link writeHome} wrote.
 * @throws CountersignError `LOG_EXISTS` where it has one
 */
export async function finishHome(cli: Cli, settings: Settings): Promise<NewHome> {
  try {
    return await cli.parts.initHome(settings);
  } catch (error) {
    throw isFault(error, "LOG_EXISTS") ? exists(settings.home, error) : error;
  }
}

/** What is written has to load; otherwise an answer slipped through that our own files can't carry. */
function demandValid(cli: Cli, config: string, policy: string): void {
  const parsed = parseConfig(
    config,
    CONFIG_FILE,
    cli.parts.servicesSchema,
    cli.parts.workspacesSchema,
    cli.parts.upstreamsSchema,
  );
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
