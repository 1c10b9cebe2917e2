import { pino, type Logger } from "pino";
import type { Settings } from "./settings.ts";

/** pino on stderr, always: on stdio, stdout is the protocol. Operations only; evidence is entries. */
export const operationsLog = (settings: Pick<Settings, "logLevel">): Logger =>
  pino(
    {
      name: "countersign",
      level: settings.logLevel,
      redact: { paths: ["*.token", "*.password", "*.secret", "*.authorization"], censor: "[redacted]" },
    },
    pino.destination({ dest: 2, sync: true }),
  );
