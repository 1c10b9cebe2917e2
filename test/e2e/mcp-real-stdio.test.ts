import { clientMatrix } from "../support/client-matrix.ts";
import { CLIENT_KINDS } from "../support/mcp-clients.ts";
import { TASK_CLIENT_KINDS } from "../support/task-clients.ts";
import { builtProgram, openRealTarget } from "../support/real-target.ts";

// A host that starts `countersign mcp` where no gateway runs: each client brings its own, all on one home, and people
// answer at the terminal.
const program = builtProgram();
clientMatrix(
  "a home without a gateway",
  () => openRealTarget({ program, hold: "3s", holdMs: 3_000, gateway: false }),
  CLIENT_KINDS.filter((kind) => kind.over === "stdio"),
  TASK_CLIENT_KINDS.filter((kind) => kind.over === "stdio"),
);
