import { clientMatrix } from "../support/client-matrix.ts";
import { openScriptedTarget } from "../support/scripted-target.ts";

// The transports by themselves, around a gate that the test scripts. mcp-real.test.ts runs the same matrix on the
// product.
clientMatrix("a gateway that serves HTTP, and one of its own for each stdio client", () =>
  openScriptedTarget({ holdMs: 800, shim: false }),
);
