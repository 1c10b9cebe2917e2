import { join } from "node:path";
import type { HoldSettings, Settings } from "../config/settings.ts";
import type { Caller } from "../request/principal.ts";
import { roundKey } from "../store/embedded/home-key.ts";
import type { RoundParts } from "../transport/mcp/round-answer.ts";
import { createRounds } from "../transport/mcp/rounds.ts";

/** How long calls are held, by what the client says it is, and how those who can go on waiting do. */
export interface ClientViews {
  readonly holdMs: number;
  readonly holdFor: (client: Caller["client"]) => number | null;
  readonly rounds?: RoundParts;
}

export async function clientViews(
  { hold, dataDir, passkeys }: Pick<Settings, "hold" | "dataDir" | "passkeys">,
  now: () => number,
): Promise<ClientViews> {
  // Only an address that the operator stated: what a listener happens to be bound to says nothing to other machines.
  const [origin] = hold.showPage ? passkeys.origins : [];
  return {
    holdMs: hold.ms,
    holdFor: (client) => heldFor(hold, client),
    ...(hold.rounds === 0
      ? {}
      : {
          rounds: {
            sealed: createRounds(await roundKey(join(dataDir, "keys")), now),
            most: hold.rounds,
            pageOf: (ticket) => (origin === undefined ? null : `${origin}/requests/${ticket}`),
          },
        }),
  };
}

/** A client names itself, so a name like `constructor` must find nothing. */
const heldFor = ({ clients }: HoldSettings, client: Caller["client"]): number | null =>
  client !== null && Object.hasOwn(clients, client.name) ? (clients[client.name] ?? null) : null;
