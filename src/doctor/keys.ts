import { stat } from "node:fs/promises";
import { join } from "node:path";
import { isFault } from "../errors.ts";
import { currentKey } from "../log/key-chain.ts";
import { systemFiles } from "../store/embedded/files.ts";
import { readLogKey, readNextLogKey, readSealKey } from "../store/embedded/keys.ts";
import { fail, fine, warn, type Check, type Finding } from "./check.ts";

/** The log's key is there and is the one in force; the sealing key is there. */
export const checkKeys: Check = {
  name: "keys",
  needs: "data",
  async look({ dataDir, log }) {
    const keysDir = join(dataDir, "keys");
    const facts = await log();
    const findings: Finding[] = [];
    const ask = <T>(read: () => T): T | null => {
      try {
        return read();
      } catch (error) {
        if (!isFault(error)) throw error;
        findings.push(fail(error.message, error.hint ?? "put back the key that was made with this log"));
        return null;
      }
    };
    const key = ask(() => readLogKey(systemFiles, keysDir));
    const next = ask(() => readNextLogKey(systemFiles, keysDir));
    ask(() => readSealKey(systemFiles, keysDir));
    if (key === null && findings.length === 0) {
      findings.push(
        fail(`${keysDir} holds no log.key`, "put back the key that was made with this log, from a backup"),
      );
    }
    const chain = facts?.keys ?? null;
    const inForce = chain === null ? null : currentKey(chain).text;
    if (key !== null && inForce !== null && key.vkey !== inForce && next?.vkey !== inForce) {
      findings.push(
        fail(
          `the log names the key ${inForce}, and log.key is ${key.vkey}`,
          "put back the key that was in force; if the key was rotated, the log may be an older copy",
        ),
      );
    }
    if (next !== null) {
      const what =
        next.vkey === inForce
          ? "a key rotation was cut short after its entry: the next start finishes it"
          : "a key was made for a rotation that did not happen";
      findings.push(
        warn(what, next.vkey === inForce ? "start the gateway once" : "run: countersign log rotate-key"),
      );
    }
    const old = await stat(join(keysDir, "mcp.token")).catch(() => null);
    if (findings.length > 0) return findings;
    return [fine(`log.key is in force, seal.key is there${old === null ? "; no local tokens yet" : ""}`)];
  },
};
