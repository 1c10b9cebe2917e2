import type { Command } from "commander";
import type { AddCommand } from "../program.ts";
import { addLogErase } from "./log-erase.ts";
import { addLogExplain } from "./log-explain.ts";
import { addLogList } from "./log-list.ts";
import { addLogReplay } from "./log-replay.ts";
import { addLogReceipt } from "./log-receipt.ts";
import { addLogRotateKey } from "./log-rotate-key.ts";
import { addLogShow } from "./log-show.ts";
import { addLogTail } from "./log-tail.ts";
import { addLogVerify } from "./log-verify.ts";
import { addLogWitness } from "./log-witness.ts";

export const addLog: AddCommand = (parent, cli, run) => {
  const log: Command = parent
    .command("log")
    .description("read the decision log, verify it, take receipts from it")
    .usage("<command>")
    .helpCommand(false)
    .addHelpText("after", "\nExample:\n  $ countersign log list\n  $ countersign log verify");
  for (const add of [
    addLogList,
    addLogShow,
    addLogTail,
    addLogVerify,
    addLogReceipt,
    addLogExplain,
    addLogReplay,
    addLogErase,
    addLogWitness,
    addLogRotateKey,
  ])
    add(log, cli, run);
};
