import { describe } from "vitest";
import { terraformKitWorld } from "../support/terraform-kit-world.ts";
import { makeTerraformWorld, missingTerraform } from "../support/terraform-world.ts";
import { describeToolContract } from "./tool-kit.ts";

const missing = missingTerraform();

describe.skipIf(missing !== null)(missing ?? "with real terraform", () => {
  describeToolContract(
    "apply_infrastructure",
    () => {
      const world = makeTerraformWorld();
      return { world: terraformKitWorld(world, "apply"), close: () => world.remove() };
    },
    { skips: ["T6 "] },
  );

  describeToolContract(
    "plan_infrastructure",
    () => {
      const world = makeTerraformWorld();
      return { world: terraformKitWorld(world, "plan"), close: () => world.remove() };
    },
    { skips: ["T3 every", "T4 execute refuses", "T4 a plan runs once", "T5 reconcile", "T5 killed", "T6 "] },
  );
});
