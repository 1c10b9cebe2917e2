import { newToken, tokenSha256 } from "../../base/token.ts";
import { barredBesideAsking, SCOPES, type Scope } from "../../config/api-scopes.ts";
import { EFFECT_NAMES } from "../../config/oauth.ts";
import { flagsOf } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";

interface TokenFlags {
  readonly name: string;
  readonly mcp?: boolean;
  readonly scope?: readonly string[];
  readonly effect?: readonly string[];
  readonly principal?: string;
  readonly agent?: string;
  readonly expires?: string;
  readonly json?: boolean;
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const MOMENT = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?Z)?$/;

export const addTokenNew: AddCommand = (parent, cli, run) => {
  parent
    .command("new")
    .description("make a token, and the lines of countersign.yaml that admit it")
    .requiredOption("--name <name>", "what the token is called in listings and logs")
    .option("--scope <scope...>", `a token of the API: what it may do: ${SCOPES.join(", ")}`)
    .option("--mcp", "a token of the agents' listener, with which an agent calls tools")
    .option("--effect <effect...>", `--mcp: what it is good for: ${EFFECT_NAMES.join(", ")}; left out: all`)
    .option("--principal <id>", "--mcp, requests:write: for whom it asks, a person or service of the policy")
    .option("--agent <id>", "--mcp, requests:write: which agent of the policy asks")
    .option("--expires <date>", "from when on it opens nothing, such as 2027-01-31")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The token is shown once; only its SHA-256 stands in the file. Nothing is
written: add the lines yourself, and start the gateway again.

Example:
  $ countersign token new --name dashboard --scope requests:read log:read
  $ countersign token new --name jenkins --scope requests:write \\
      --principal ci --agent jenkins
  $ countersign token new --mcp --name laptop --principal ana --agent claude \\
      --effect read write --expires 2027-01-31`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<TokenFlags>(command);
        const goodFor = flags.mcp === true ? effectsOf(flags) : { scopes: scopesOf(flags) };
        const token = newToken(flags.mcp === true ? "csm" : "csa");
        const entry = {
          name: flags.name,
          token_sha256: tokenSha256(token),
          ...goodFor,
          ...(flags.principal === undefined ? {} : { principal: flags.principal, agent: flags.agent }),
          ...(flags.expires === undefined ? {} : { expires: flags.expires }),
        };
        const { terminal } = cli;
        if (flags.json === true) {
          terminal.json({ token, entry });
          return 0;
        }
        terminal.out(token);
        terminal.note("");
        terminal.note("That is the token; it is not shown again. Add to countersign.yaml:");
        terminal.note("");
        const list = flags.mcp === true ? ["clients:"] : ["api:", "  tokens:"];
        for (const line of linesOf(list, entry)) terminal.note(line);
        return 0;
      }),
    );
};

const wordsOf = (given: readonly string[]): readonly string[] =>
  given.flatMap((words) => words.split(",")).filter((word) => word !== "");

function checkCommon({ name, principal, agent, expires }: TokenFlags): void {
  if (!NAME.test(name)) throw usage("--name is made of a-z, 0-9, dot, dash and underscore");
  if ((principal === undefined) !== (agent === undefined))
    throw usage("--principal and --agent stand together: who asks is both");
  if (expires !== undefined && (!MOMENT.test(expires) || Number.isNaN(Date.parse(expires))))
    throw usage("--expires is a date such as 2027-01-31");
}

function effectsOf(flags: TokenFlags): { readonly effects?: readonly string[] } {
  checkCommon(flags);
  if (flags.scope !== undefined)
    throw usage("--scope is of the API's tokens, --effect of --mcp", "one token never opens both listeners");
  if (flags.principal === undefined) {
    throw usage(
      "--mcp needs --principal and --agent: a call is somebody's",
      "name a person or service of the policy, and an agent of it",
    );
  }
  if (flags.effect === undefined) return {};
  const wanted = wordsOf(flags.effect);
  const unknown = wanted.find((word) => !(EFFECT_NAMES as readonly string[]).includes(word));
  if (unknown !== undefined)
    throw usage(`there is no effect "${unknown}"`, `there are ${EFFECT_NAMES.join(", ")}`);
  return { effects: EFFECT_NAMES.filter((known) => wanted.includes(known)) };
}

function scopesOf(flags: TokenFlags): readonly Scope[] {
  checkCommon(flags);
  const { principal } = flags;
  if (flags.effect !== undefined) throw usage("--effect is of --mcp, --scope of the API's tokens");
  const wanted = wordsOf(flags.scope ?? []);
  if (wanted.length === 0) {
    throw usage(
      "say what the token is for: --scope for the API, or --mcp for the agents' listener",
      `scopes are ${SCOPES.join(", ")}`,
    );
  }
  const unknown = wanted.find((word) => !(SCOPES as readonly string[]).includes(word));
  if (unknown !== undefined) throw usage(`there is no scope "${unknown}"`, `there are ${SCOPES.join(", ")}`);
  if (wanted.includes("requests:write") && principal === undefined) {
    throw usage(
      "requests:write needs --principal and --agent: a request is somebody's",
      "name a person or service of the policy, and an agent of it",
    );
  }
  const barred = barredBesideAsking(wanted);
  if (barred.length > 0) {
    throw usage(
      `a token that asks (requests:write) can't have ${barred.join(" and ")}: previews are not for the agent's side`,
      "make two tokens; the one that asks sees its own outcomes without it",
    );
  }
  return SCOPES.filter((known) => wanted.includes(known));
}

function linesOf(list: readonly string[], entry: Readonly<Record<string, unknown>>): readonly string[] {
  const lines = Object.entries(entry).map(([key, value]) =>
    Array.isArray(value)
      ? `${key}: [${value.map((one) => JSON.stringify(one)).join(", ")}]`
      : `${key}: ${JSON.stringify(value)}`,
  );
  const indent = "  ".repeat(list.length);
  return [...list, ...lines.map((line, i) => `${indent}${i === 0 ? "- " : "  "}${line}`)];
}
