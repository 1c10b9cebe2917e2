import type { AddCommand } from "../program.ts";
import { addTokenList } from "./token-list.ts";
import { addTokenNew } from "./token-new.ts";

export const addToken: AddCommand = (parent, cli, run) => {
  const token = parent
    .command("token")
    .description("tokens of the API and of the agents' listener: what each may do stands in countersign.yaml")
    .usage("<command>")
    .helpCommand(false)
    .addHelpText("after", "\nExample:\n  $ countersign token new --name dashboard --scope requests:read");
  addTokenNew(token, cli, run);
  addTokenList(token, cli, run);
};
