import { addApprove } from "./commands/approve.ts";
import { addAsk } from "./commands/ask.ts";
import { addDemo } from "./commands/demo.ts";
import { addDeny } from "./commands/deny.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addInit } from "./commands/init.ts";
import { addInstall } from "./commands/install.ts";
import { addLog } from "./commands/log.ts";
import { addMcp } from "./commands/mcp.ts";
import { addPending } from "./commands/pending.ts";
import { addPeople } from "./commands/people.ts";
import { addPolicy } from "./commands/policy.ts";
import { addRequest } from "./commands/request.ts";
import { addRequests } from "./commands/requests.ts";
import { addResolve } from "./commands/resolve.ts";
import { addShow } from "./commands/show.ts";
import { addStart } from "./commands/start.ts";
import { addTakeBack } from "./commands/take-back.ts";
import { addToken } from "./commands/token.ts";
import { addUninstall } from "./commands/uninstall.ts";
import { addUpstream } from "./commands/upstream.ts";
import { addVerify } from "./commands/verify.ts";
import type { AddCommand } from "./program.ts";

/** Every command, below the headings of the help. */
export const COMMANDS: Readonly<Record<string, readonly AddCommand[]>> = {
  "Decide:": [addPending, addShow, addApprove, addDeny, addAsk, addTakeBack, addRequests, addResolve],
  "Ask:": [addRequest],
  "Policy and proof:": [addPolicy, addUpstream, addPeople, addLog, addVerify],
  "Set up and serve:": [addInit, addInstall, addUninstall, addStart, addMcp, addDoctor, addToken, addDemo],
};
