import { timestamp } from "../../base/clock.ts";
import { neutralLine } from "../../base/text.ts";
import type { Settings } from "../../config/settings.ts";
import { flagsOf } from "../context.ts";
import { formatMoment, localZone } from "../moment.ts";
import type { AddCommand } from "../program.ts";

interface ListedToken {
  readonly name: string;
  /** Which listener it opens. */
  readonly opens: "mcp" | "api";
  readonly principal: string | null;
  readonly agent: string | null;
  /** Effects or scopes; null: everything that the policy lets its holder. */
  readonly goodFor: readonly string[] | null;
  readonly expiresAt: number | null;
  readonly sha256: string;
}

export const addTokenList: AddCommand = (parent, cli, run) => {
  parent
    .command("list")
    .description("tokens that countersign.yaml admits; the tokens themselves stand nowhere")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ countersign token list")
    .action(
      run(async (command) => {
        const flags = flagsOf<{ json?: boolean }>(command);
        const tokens = tokensOf(await cli.settings(flags, { exists: false }));
        const { terminal, parts } = cli;
        if (flags.json === true) {
          terminal.json({
            tokens: tokens.map(({ expiresAt, ...token }) => ({
              ...token,
              expires: expiresAt === null ? null : timestamp(expiresAt),
            })),
          });
          return 0;
        }
        for (const token of tokens) terminal.out(lineOf(token, parts.clock.now()));
        if (tokens.length === 0) terminal.out("countersign.yaml admits no tokens");
        terminal.note("besides them, the home's own: data/keys/mcp.token and data/keys/api.token");
        return 0;
      }),
    );
};

const tokensOf = ({ clients, api }: Settings): readonly ListedToken[] => [
  ...clients.map(({ name, principal, agent, effects, expiresAt, tokenSha256: sha256 }) => ({
    ...{ name, opens: "mcp" as const, principal, agent, goodFor: effects, expiresAt, sha256 },
  })),
  ...api.tokens.map(({ name, acts, scopes, expiresAt, tokenSha256: sha256 }) => ({
    ...{ name, opens: "api" as const, goodFor: scopes, expiresAt, sha256 },
    ...{ principal: acts?.principal ?? null, agent: acts?.agent ?? null },
  })),
];

function lineOf(token: ListedToken, now: number): string {
  const { name, opens, principal, agent, goodFor, expiresAt, sha256 } = token;
  const who = principal === null ? "" : neutralLine(`${agent ?? ""} for ${principal}`);
  const end =
    expiresAt === null
      ? "no end"
      : `${expiresAt <= now ? "over since" : "until"} ${formatMoment(expiresAt, localZone())}`;
  const words = [...(who === "" ? [] : [who]), goodFor?.join(" ") ?? "every effect", end];
  return `${name.padEnd(16)} ${opens}  ${sha256.slice(0, 8)}  ${words.join(", ")}`;
}
