import type { AddCommand } from "../program.ts";
import { addPeopleInvite } from "./people-invite.ts";
import { addPeopleList } from "./people-list.ts";
import { addPeopleRemoveCredential } from "./people-remove-credential.ts";

export const addPeople: AddCommand = (parent, cli, run) => {
  const people = parent
    .command("people")
    .description("who may decide, and their passkeys")
    .usage("<command>")
    .helpCommand(false)
    .addHelpText("after", "\nExample:\n  $ countersign people list\n  $ countersign people invite ben");
  for (const add of [addPeopleList, addPeopleInvite, addPeopleRemoveCredential]) add(people, cli, run);
};
