import type { Settings } from "../../src/config/settings.ts";
import { serveCampaign } from "./gateway.ts";

const { settings, world } = JSON.parse(process.argv[2] as string) as { settings: Settings; world: string };
await serveCampaign(settings, world);
