import type { AddCommand } from "../program.ts";
import { addPolicyAdopt } from "./policy-adopt.ts";
import { addPolicyCheck } from "./policy-check.ts";
import { addPolicyExplain } from "./policy-explain.ts";
import { addPolicyTest } from "./policy-test.ts";

export const addPolicy: AddCommand = (parent, cli, run) => {
  const policy = parent
    .command("policy")
    .description("check, test, explain and adopt policy.yaml")
    .usage("<command>")
    .helpCommand(false)
    .addHelpText(
      "after",
      "\nExample:\n  $ countersign policy check\n  $ countersign policy test policy.yaml",
    );
  for (const add of [addPolicyCheck, addPolicyTest, addPolicyExplain, addPolicyAdopt]) add(policy, cli, run);
};
