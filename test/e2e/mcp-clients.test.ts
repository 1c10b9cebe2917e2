import { clientMatrix } from "../support/client-matrix.ts";
import { CLIENT_KINDS } from "../support/mcp-clients.ts";
import { openScriptedTarget } from "../support/scripted-target.ts";
import { TASK_CLIENT_KINDS } from "../support/task-clients.ts";

// The transports by themselves, around a gate that the test scripts. mcp-real.test.ts runs the same matrix on the
// product. A scripted gate forgets with its process, so a stdio client that comes back has nothing to come back to.
clientMatrix(
  "a gateway that serves HTTP, and one of its own for each stdio client",
  () => openScriptedTarget({ holdMs: 800, shim: false }),
  CLIENT_KINDS,
  TASK_CLIENT_KINDS.filter((kind) => kind.over === "http"),
);
