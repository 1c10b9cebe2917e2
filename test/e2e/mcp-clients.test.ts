import { clientMatrix } from "../support/client-matrix.ts";
import { CLIENT_KINDS } from "../support/mcp-clients.ts";
import { openScriptedTarget } from "../support/scripted-target.ts";

clientMatrix("a gateway that serves HTTP, with stdio clients behind the shim", () =>
  openScriptedTarget({ holdMs: 800, shim: true }),
);

clientMatrix(
  "a gateway process for each stdio client",
  () => openScriptedTarget({ holdMs: 800, shim: false }),
  CLIENT_KINDS.filter((kind) => kind.over === "stdio"),
);
