import { neutralLine } from "../../base/text.ts";
import { listLocalKeys, chooseKey } from "../../consent/channels/cli/ssh-key.ts";
import type { OpenQuestion } from "../../consent/desk.ts";
import { isFault } from "../../errors.ts";
import type { Home } from "../../gate/home.ts";
import type { RequestSummary } from "../../request/summary.ts";
import { flagsOf, type Cli } from "../context.ts";
import { erasureWords } from "../erasure-words.ts";
import { openQuestion } from "../find-request.ts";
import { localZone } from "../moment.ts";
import type { AddCommand } from "../program.ts";
import { renderHistory } from "../render-history.ts";
import { offersApproval, renderQuestion } from "../render-question.ts";

export const addShow: AddCommand = (parent, cli, run) => {
  parent
    .command("show")
    .description("show one request: the whole question while it waits, its history after")
    .argument("<request>", "its code, its id, or the beginning of the id")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ countersign show 8K2M4Q")
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const reference = String(command.processedArgs[0]);
          const json = flagsOf<{ json?: boolean }>(command).json === true;
          const found = await find(home, reference);
          if (found.open !== null) {
            if (json) cli.terminal.json(found.open);
            else await printQuestion(cli, home, found.open);
            return 0;
          }
          const history = await home.requests.history(found.summary.id);
          const erasure = await home.records.erased(history);
          if (json) cli.terminal.json({ ...found.summary, history, erasure });
          else {
            cli.terminal.out(
              renderHistory(found.summary, history, {
                paint: cli.terminal.paint,
                width: cli.terminal.width,
                zone: localZone(),
              }),
            );
            if (erasure !== null) cli.terminal.out(`\nits documents were ${erasureWords(erasure)}`);
          }
          return 0;
        }),
      ),
    );
};

type Found =
  | { readonly open: OpenQuestion; readonly summary: null }
  | { readonly open: null; readonly summary: RequestSummary };

async function find(home: Home, reference: string): Promise<Found> {
  try {
    return { open: await openQuestion(home, reference), summary: null };
  } catch (error) {
    if (!isFault(error, "REQUEST_NOT_FOUND")) throw error;
    const summary = await home.requests.find(reference).catch((cause: unknown) => {
      throw isFault(cause, "REQUEST_NOT_FOUND") ? error : cause;
    });
    return { open: null, summary };
  }
}

async function printQuestion(cli: Cli, home: Home, open: OpenQuestion): Promise<void> {
  const person = await readerOf(cli, home);
  const { terminal } = cli;
  const shown = renderQuestion(open, {
    width: terminal.width,
    paint: terminal.paint,
    now: cli.parts.clock.now(),
    zone: localZone(),
    reader: person === null ? null : { person },
  });
  terminal.out(`${shown.text}\n`);
  const code = neutralLine(open.code);
  if (offersApproval(open)) terminal.out(`  approve   countersign approve ${code}`);
  terminal.out(`  deny      countersign deny ${code} --reason "why"`);
  terminal.out(`  ask       countersign ask ${code} "what you want to know"`);
}

/** Whose keys lie on this machine; null where that is nobody, or not clear. It only decides what is said, not what counts. */
async function readerOf(cli: Cli, home: Home): Promise<string | null> {
  try {
    const keys = await listLocalKeys(cli.ssh);
    return chooseKey(keys, home.adoption.current().people, { userVerified: false, soloPerson: null }).person;
  } catch (error) {
    if (isFault(error)) return null;
    throw error;
  }
}
