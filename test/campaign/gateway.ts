import { pino } from "pino";
import { systemClock } from "../../src/base/clock.ts";
import { ok } from "../../src/base/result.ts";
import { openHome, type OpenedHome } from "../../src/compose.ts";
import type { Settings } from "../../src/config/settings.ts";
import { keepSteward } from "../../src/serve/keep-steward.ts";
import { serveStdio } from "../../src/transport/mcp/stdio.ts";
import { CALLER } from "../support/world.ts";
import { writeLine } from "./line-tool.ts";

// A gateway as `countersign mcp` is one: the whole home, MCP over stdio, the steward where nobody is; with one tool whose
// every run stands in a file.

export const openCampaignHome = (
  settings: Settings,
  world: string,
  options: { readonly create?: boolean; readonly onFault?: () => void } = {},
): Promise<OpenedHome> =>
  openHome(settings, {
    version: "campaign",
    clock: systemClock,
    log: pino({ level: "silent" }),
    create: options.create === true,
    makeTools: () => [writeLine(world)],
    readRegistrations: () => Promise.resolve(ok({})),
    ...(options.onFault === undefined ? {} : { onFault: options.onFault }),
  });

/** What the process that `campaign-child` is does. */
export async function serveCampaign(settings: Settings, world: string): Promise<void> {
  const home = await openCampaignHome(settings, world, { onFault: () => process.exit(70) });
  keepSteward(home);
  process.stderr.write("open\n");
  await serveStdio(home.gate, CALLER, { holdMs: 50, version: "campaign", log: home.log });
  await home.close();
}
