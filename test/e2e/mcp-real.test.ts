import { clientMatrix } from "../support/client-matrix.ts";
import { builtProgram, openRealTarget } from "../support/real-target.ts";

// Every client against the product as it is built (`npm test` builds it first), stdio clients behind the shim.
const program = builtProgram();
clientMatrix("a gateway that serves agents and people", () =>
  openRealTarget({ program, hold: "1500ms", holdMs: 1_500, gateway: true }),
);
