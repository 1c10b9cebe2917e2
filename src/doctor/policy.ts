import { digestJson } from "../base/digest.ts";
import { whyUnmeetable, strongestProof } from "../policy/meetable.ts";
import type { Policy } from "../policy/policy.ts";
import type { PolicyDocument } from "../policy/resolve.ts";
import { fail, fine, warn, type Check, type Finding, type Patient } from "./check.ts";

/** The file loads, something is adopted, and whether the file proposes something else. */
export const checkPolicy: Check = {
  name: "policy",
  needs: "settings",
  async look(patient) {
    const findings: Finding[] = [];
    const proposed = await patient.proposed();
    for (const error of proposed?.errors ?? []) {
      findings.push(fail(error, "correct the file; what was adopted runs on meanwhile"));
    }
    const adopted = await patient.adopted();
    if (adopted === null) {
      findings.push(fail("no policy was adopted in this home", "run: countersign init"));
    } else if (adopted.policy === null) {
      findings.push(
        fail(`the adopted policy does not load: ${adopted.error ?? ""}`, "run the version that adopted it"),
      );
    } else if (proposed !== null && proposed.policy !== null) {
      const registrations = await patient.registrations();
      if (registrations.ok) {
        const registry = digestJson("registry", registrations.value);
        findings.push(waiting(adopted.policy, proposed.policy, registry === adopted.registry));
      } else {
        for (const error of registrations.error) findings.push(fail(error, "correct countersign.yaml"));
      }
    }
    return findings;
  },
};

function waiting(adopted: Policy, proposed: Policy, isSameRegistry: boolean): Finding {
  const changed = [
    ...(adopted.revision === proposed.revision ? [] : ["policy.yaml"]),
    ...(isSameRegistry ? [] : ["the registrations in countersign.yaml"]),
  ];
  if (changed.length === 0) return fine(`what is adopted is what the file says`);
  const verb = changed.length > 1 || !changed.includes("policy.yaml") ? "differ" : "differs";
  return warn(
    `${changed.join(" and ")} ${verb} from what was adopted: a proposal that does not run yet`,
    "look at it and sign it: countersign policy adopt",
  );
}

const adoptedPolicy = async (patient: Patient): Promise<Policy | null> =>
  (await patient.adopted())?.policy ?? null;
const documentOf = (policy: Policy): PolicyDocument => policy.document as unknown as PolicyDocument;

/** People who are asked and could not answer. */
export const checkPeople: Check = {
  name: "people",
  needs: "settings",
  async look(patient) {
    const policy = await adoptedPolicy(patient);
    if (policy === null) return [];
    const document = documentOf(policy);
    const asked = new Set([...policy.groups.values()].flat());
    const keyless = [...asked].filter((person) => strongestProof(document, person) === null);
    if (keyless.length === 0) return [fine(`${asked.size} in groups, each with a key`)];
    return keyless.map((person) =>
      warn(
        `${person} is in a group and has no key: their approval can't count`,
        `give them one under people.${person}.ssh (ssh-keygen -lf KEY.pub), or take them out of the group`,
      ),
    );
  },
};

/** Clauses that nobody can ever meet, before and after C1. */
export const checkClauses: Check = {
  name: "clauses",
  needs: "settings",
  async look(patient) {
    const policy = await adoptedPolicy(patient);
    if (policy === null) return [];
    const document = documentOf(policy);
    const findings: Finding[] = policy.warnings.map(({ line, message }) =>
      warn(`policy.yaml:${line} ${message}`, "correct it and have it adopted: countersign policy adopt"),
    );
    const demands = [
      ...(policy.policyChange === null ? [] : [{ where: "policy_change", demand: policy.policyChange }]),
    ];
    for (const { where, demand } of demands) {
      const why = whyUnmeetable(document, demand);
      if (why !== null)
        findings.push(
          fail(
            `${where} ${why}`,
            "nobody can adopt another policy here: make a new home with countersign init",
          ),
        );
    }
    return findings.length > 0 ? findings : [fine("each can be met")];
  },
};

/** Agents that nobody answers for, and callers that the policy does not know: what they call is denied (C1). */
export const checkAgents: Check = {
  name: "agents",
  needs: "settings",
  async look(patient) {
    const policy = await adoptedPolicy(patient);
    const { settings } = patient;
    if (policy === null || settings === null) return [];
    const findings: Finding[] = [];
    for (const [agent, { owners }] of policy.agents) {
      const able = owners.filter((owner) => policy.people.get(owner)?.disabled === false);
      if (able.length === 0) {
        findings.push(
          warn(
            `${agent} has no owner who is enabled: all but reads of it is denied`,
            `name one under agents.${agent}.owners`,
          ),
        );
      }
    }
    const callers = [
      ...settings.clients.map(({ name, agent, principal }) => ({
        who: `clients: ${name}`,
        agent,
        principal,
      })),
      { who: "stdio", agent: settings.stdio.agent, principal: settings.stdio.principal },
    ];
    for (const { who, agent, principal } of callers) {
      if (agent !== null && !policy.agents.has(agent)) {
        findings.push(
          warn(
            `${who} names the agent ${agent}, which the policy does not know`,
            `add it: agents: { ${agent}: { owners: [PERSON] } }`,
          ),
        );
      }
      if (principal !== null && !policy.people.has(principal) && !policy.services.has(principal)) {
        findings.push(
          warn(
            `${who} speaks for ${principal}, whom the policy does not know`,
            `add ${principal} under people: or services:`,
          ),
        );
      }
    }
    return findings.length > 0 ? findings : [fine(`${policy.agents.size}, each with an owner`)];
  },
};
