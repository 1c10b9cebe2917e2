import { readdir, readFile, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { findRunning, type Running } from "../serve/running.ts";
import { fail, fine, warn, type Check, type Finding, type Patient } from "./check.ts";

const running = ({ dataDir, clock }: Patient): Promise<Running | null> => findRunning(dataDir, clock.now());
const ANSWER_MS = 3_000;

/** Whether a gateway serves this home, answers, and is of this release. */
export const checkGateway: Check = {
  name: "gateway",
  needs: "data",
  async look(patient) {
    const found = await running(patient);
    if (found === null) {
      return [
        warn(
          "none runs: calls over stdio serve themselves, and nothing happens by itself",
          "start one: countersign start",
        ),
      ];
    }
    const says = `pid ${found.owner.pid} listens on ${found.mcp} (agents) and ${found.api} (people)`;
    const findings: Finding[] = [];
    for (const url of [found.mcp, found.api]) {
      if (!(await answers(url)))
        findings.push(
          fail(
            `${says}, and ${url} does not answer`,
            `look at its log, then restart it (pid ${found.owner.pid})`,
          ),
        );
    }
    if (found.version !== undefined && found.version !== patient.version) {
      findings.push(
        warn(`it is ${found.version}, and this command ${patient.version}`, "restart it after an update"),
      );
    }
    return findings.length > 0 ? findings : [fine(says)];
  },
};

/** Any answer will do: without a token it is a refusal. */
const answers = (url: string): Promise<boolean> =>
  fetch(url, { signal: AbortSignal.timeout(ANSWER_MS), redirect: "manual" }).then(
    async (response) => {
      await response.body?.cancel();
      return true;
    },
    () => false,
  );

/** The configured ports are free, or this home's own gateway has them. */
export const checkPorts: Check = {
  name: "ports",
  needs: "settings",
  async look(patient) {
    const found = await running(patient);
    if (found !== null) return [fine("in use by this home's gateway")];
    const { mcp, api } = (patient.settings as NonNullable<Patient["settings"]>).listeners;
    const findings: Finding[] = [];
    for (const [name, { host, port }] of Object.entries({ mcp, api })) {
      if (port === 0) continue;
      const why = await whyTaken(host, port);
      if (why === null) continue;
      findings.push(
        fail(
          `listeners.${name}: ${host}:${port} can't be opened (${why})`,
          why === "EADDRINUSE"
            ? "find out what listens there, or set another port: listeners in countersign.yaml"
            : "set another address: listeners in countersign.yaml",
        ),
      );
    }
    return findings.length > 0 ? findings : [fine("free")];
  },
};

const whyTaken = (host: string, port: number): Promise<string | null> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown"));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });

/** What a process that died has left: it does no harm, and says that one died. */
export const checkLeftovers: Check = {
  name: "leftovers",
  needs: "data",
  async look(patient) {
    const { dataDir } = patient;
    const findings: Finding[] = [];
    const announced = await readFile(join(dataDir, "run", "gateway.json"), "utf8").catch(() => null);
    if (announced !== null && (await running(patient)) === null) {
      findings.push(
        warn(
          "run/gateway.json names a gateway that is gone: it was killed, or the machine was",
          "start it again: countersign start; what was under way is recovered then",
        ),
      );
    }
    for (const name of ["", "keys", "run"]) {
      for (const file of await readdir(join(dataDir, name)).catch(() => [])) {
        if (!/\.(tmp|new)$|^\..+\.[0-9a-f]{12}$/.test(file)) continue;
        const found = await stat(join(dataDir, name, file)).catch(() => null);
        if (found === null || patient.clock.now() - found.mtimeMs < 60_000) continue;
        findings.push(
          warn(
            `${join(name, file)} was left by a write that a crash cut short`,
            "it may be removed while no gateway runs",
          ),
        );
      }
    }
    return findings.length > 0 ? findings : [fine("none")];
  },
};
