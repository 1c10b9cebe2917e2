import { createRequire } from "node:module";
import type { Logger } from "pino";
import type { Settings } from "./settings.ts";

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];

/**
 * pino on stderr, always: on stdio, stdout is the protocol. Operations only; evidence is entries. It is loaded with the
 * first line that is written: a host that starts `mcp` would else pay a tenth of its start for lines that never come.
 */
export function operationsLog({ logLevel }: Pick<Settings, "logLevel">): Logger {
  let made: Logger | null = null;
  const log = (): Logger => (made ??= makeLog(logLevel));
  const least = LEVELS.indexOf(logLevel);
  const silent = (): void => undefined;
  return new Proxy({} as Logger, {
    get(_, name) {
      const level = typeof name === "string" ? LEVELS.indexOf(name) : -1;
      // One that is not written, `silent` being no level of a line.
      if (made === null && level !== -1 && (least === -1 || level < least)) return silent;
      const member: unknown = Reflect.get(log(), name);
      return typeof member === "function" ? member.bind(made) : member;
    },
    set: (_, name, value) => Reflect.set(log(), name, value),
  });
}

function makeLog(logLevel: Settings["logLevel"]): Logger {
  const { pino } = createRequire(import.meta.url)("pino") as typeof import("pino");
  return pino(
    {
      name: "countersign",
      level: logLevel,
      redact: { paths: ["*.token", "*.password", "*.secret", "*.authorization"], censor: "[redacted]" },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
