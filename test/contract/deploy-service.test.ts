import { deployKitWorld } from "../support/deploy-kit-world.ts";
import { makeDeployWorld } from "../support/deploy-world.ts";
import { describeToolContract } from "./tool-kit.ts";

describeToolContract("deploy_service", () => {
  const world = makeDeployWorld();
  return { world: deployKitWorld(world), close: () => world.remove() };
});
