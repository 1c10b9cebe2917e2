import type { AddCommand } from "../program.ts";
import { addUpstreamAccept } from "./upstream-accept.ts";
import { addUpstreamDiff } from "./upstream-diff.ts";
import { addUpstreamList } from "./upstream-list.ts";

export const addUpstream: AddCommand = (parent, cli, run) => {
  const upstream = parent
    .command("upstream")
    .description("look at and accept the tools of servers that are fronted")
    .usage("<command>")
    .helpCommand(false)
    .addHelpText("after", "\nExample:\n  $ countersign upstream diff\n  $ countersign upstream accept");
  for (const add of [addUpstreamList, addUpstreamDiff, addUpstreamAccept]) add(upstream, cli, run);
};
