import { newToken, tokenSha256 } from "../../base/token.ts";
import { barredBesideAsking, SCOPES, type Scope } from "../../config/api-scopes.ts";
import { flagsOf } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";

interface TokenFlags {
  readonly name: string;
  readonly scope: readonly string[];
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
    .requiredOption("--scope <scope...>", `what it may do: ${SCOPES.join(", ")}`)
    .option("--principal <id>", "requests:write: for whom it asks, a person or service of the policy")
    .option("--agent <id>", "requests:write: which agent of the policy asks")
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
      --principal ci --agent jenkins`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<TokenFlags>(command);
        const scopes = scopesOf(flags);
        const token = newToken("csa");
        const entry = {
          name: flags.name,
          token_sha256: tokenSha256(token),
          scopes,
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
        for (const line of linesOf(entry)) terminal.note(line);
        return 0;
      }),
    );
};

function scopesOf({ name, scope, principal, agent, expires }: TokenFlags): readonly Scope[] {
  if (!NAME.test(name)) throw usage("--name is made of a-z, 0-9, dot, dash and underscore");
  const wanted = scope.flatMap((words) => words.split(",")).filter((word) => word !== "");
  const unknown = wanted.find((word) => !(SCOPES as readonly string[]).includes(word));
  if (unknown !== undefined) throw usage(`there is no scope "${unknown}"`, `there are ${SCOPES.join(", ")}`);
  if ((principal === undefined) !== (agent === undefined))
    throw usage("--principal and --agent stand together: who asks is both");
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
  if (expires !== undefined && (!MOMENT.test(expires) || Number.isNaN(Date.parse(expires))))
    throw usage("--expires is a date such as 2027-01-31");
  return SCOPES.filter((known) => wanted.includes(known));
}

function linesOf(entry: Readonly<Record<string, unknown>>): readonly string[] {
  const lines = Object.entries(entry).map(([key, value]) =>
    Array.isArray(value)
      ? `${key}: [${value.map((one) => JSON.stringify(one)).join(", ")}]`
      : `${key}: ${JSON.stringify(value)}`,
  );
  return ["api:", "  tokens:", ...lines.map((line, i) => `${i === 0 ? "    - " : "      "}${line}`)];
}
