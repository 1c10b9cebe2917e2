import { describe } from "vitest";
import { clientMatrix } from "../support/client-matrix.ts";
import { CLIENT_KINDS } from "../support/mcp-clients.ts";
import { missingForMain } from "../support/real-gateway.ts";
import { openRealTarget } from "../support/real-target.ts";

// Everything that is asked of a gateway for every client, asked of the bundled command: a real repository, real
// releases, `countersign approve` with ssh-keygen, and a log that verifies at the end.

const missing = missingForMain();

describe.skipIf(missing !== null)(missing ?? "the bundled command", () => {
  clientMatrix("countersign start, with stdio clients behind the shim", () =>
    openRealTarget({ holdMs: 1_000, start: true }),
  );
  clientMatrix(
    "countersign mcp alone, a gateway process for each stdio client",
    () => openRealTarget({ holdMs: 1_000, start: false }),
    CLIENT_KINDS.filter((kind) => kind.over === "stdio"),
  );
});
