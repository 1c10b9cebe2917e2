import { stat } from "node:fs/promises";
import { fail, fine, warn, type Check, type Finding } from "./check.ts";

const FOUND_BY = {
  flag: "named by --home",
  environment: "named by COUNTERSIGN_HOME",
  nearest: "the nearest countersign.yaml",
  state: "this account's default",
} as const;

/** Which home this is, and why this one. */
export const checkHome: Check = {
  name: "home",
  needs: "nothing",
  async look({ home, origin, dataDir }) {
    const where = `${home} (${FOUND_BY[origin]})`;
    const isThere = await stat(dataDir).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (isThere) return [fine(where)];
    return [
      fail(`no countersign home at ${where}`, "point at one with --home DIR, or make one: countersign init"),
    ];
  },
};

/** Whether countersign.yaml loads. */
export const checkConfiguration: Check = {
  name: "config",
  needs: "nothing",
  look({ configFault, settings }) {
    if (configFault !== null) {
      const list = configFault.details["errors"];
      const errors = Array.isArray(list) && list.length > 0 ? list.map(String) : [configFault.message];
      return Promise.resolve(errors.map((says) => fail(says, configFault.hint ?? "correct the file")));
    }
    const file = settings?.configFile ?? null;
    return Promise.resolve([
      file === null ? fine("no countersign.yaml: defaults") : fine(`${file} loads`),
    ] satisfies Finding[]);
  },
};

/** Whether the agent's account could be the gateway's. */
export const checkIsolation: Check = {
  name: "isolation",
  needs: "settings",
  look({ settings, around }) {
    if (settings?.isolation === "none") {
      return Promise.resolve([
        warn(
          "none: an agent of this account can read keys and edit files here (laptop set-up)",
          "for more than trying it, give the gateway its own account: docs/operating.md, Set-ups",
        ),
      ]);
    }
    // What a host spawns with a terminal's account is the agent's; the service must not be it.
    return Promise.resolve([fine(`service: the gateway's own account (${around.account})`)]);
  },
};
