import { neutralLine } from "../../base/text.ts";
import { CountersignError } from "../../errors.ts";
import type { Home } from "../../gate/home.ts";
import type { Policy } from "../../policy/policy.ts";

// Before a host may be registered: a home whose policy is adopted, somebody who can approve, an agent that is known (C1).

export interface Ready {
  readonly agent: string;
  readonly notes: readonly string[];
}

/**
 * @param account of the person at the terminal, whose host it will be
 * @throws CountersignError `AGENT_UNKNOWN` with the lines to add, `NO_APPROVER`
 */
export function demandReady(
  home: Pick<Home, "adoption" | "credentials" | "settings">,
  account: string,
): Ready {
  const policy = home.adoption.current();
  const { stdio, isolation } = home.settings;
  if (!home.credentials.people().some((person) => !person.disabled && person.strongest !== null)) {
    throw new CountersignError("NO_APPROVER", "nobody in the adopted policy can approve anything yet", {
      hint: "first the people, then the agents: add a person with a key to policy.yaml, then: countersign policy adopt",
    });
  }
  const here = [...policy.people.values()].find((person) => person.os.includes(account));
  const agent = stdio.agent ?? onlyAgent(policy);
  const owners = policy.agents.get(agent)?.owners ?? [];
  if (owners.length === 0) {
    throw new CountersignError("AGENT_UNKNOWN", `the adopted policy does not know the agent ${agent} (C1)`, {
      hint: `${knownAgents(policy)}add to policy.yaml, then: countersign policy adopt\nagents:\n  ${agent}: { owners: [${here?.id ?? "<person>"}] }`,
    });
  }
  const notes: string[] = [];
  if (stdio.principal === null && here === undefined) {
    notes.push(
      `this account, ${account}, is nobody's in the adopted policy, so what changes anything will be denied; add it to a person: os: [${JSON.stringify(account)}]`,
    );
  }
  if (isolation === "service") {
    notes.push(
      "this home says isolation: service, but an agent of this account could read it; register the gateway instead: --url URL --token-file FILE",
    );
  }
  return { agent, notes: notes.map(neutralLine) };
}

function onlyAgent(policy: Policy): string {
  const [only, ...more] = policy.agents.keys();
  if (only !== undefined && more.length === 0) return only;
  throw new CountersignError("AGENT_UNKNOWN", "which agent the host is was not said", {
    hint: `${knownAgents(policy)}name one: --agent ID`,
  });
}

const knownAgents = (policy: Policy): string =>
  policy.agents.size === 0 ? "" : `it knows ${[...policy.agents.keys()].join(", ")}\n`;
