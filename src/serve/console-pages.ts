import type { Hono } from "hono";
import type { Settings } from "../config/settings.ts";
import { readAssets } from "../console/assets.ts";
import { createConsole, refusalPage } from "../console/console.tsx";
import type { ConsoleParts, CredentialLine } from "../console/reader.ts";
import type { Home } from "../gate/home.ts";
import { isStewardAlive } from "../store/embedded/lock.ts";
import type { ApiEnv } from "../transport/http/actor.ts";
import type { ApiParts } from "../transport/http/api.ts";

/** What the console is told of people's passkeys: those that stand. */
export interface PasskeyReader {
  readonly rp: { readonly id: string };
  people(): readonly {
    readonly credentials: readonly (Omit<CredentialLine, "backedUp"> & {
      readonly backupEligible: boolean;
    })[];
  }[];
}

export interface ConsolePagesParts extends Pick<
  ConsoleParts,
  "sessions" | "verification" | "now" | "version" | "oidc"
> {
  readonly home: Home;
  readonly settings: Settings;
  readonly passkeys?: PasskeyReader;
}

/**
 * The pages of a gateway, and what it says in a browser where no page is asked.
 * @throws CountersignError `CONSOLE_NOT_BUILT`
 */
export async function consolePages(
  parts: ConsolePagesParts,
): Promise<{ readonly pages: Hono<ApiEnv>; readonly refusalPage: NonNullable<ApiParts["refusalPage"]> }> {
  const { passkeys, settings, version } = parts;
  const assets = await readAssets();
  const pages = createConsole({
    ...parts,
    assets,
    hasSteward: () => isStewardAlive(settings.dataDir),
    ...(passkeys === undefined ? {} : { rpId: passkeys.rp.id, credentials: () => linesOf(passkeys) }),
  });
  return { pages, refusalPage: (status, home) => refusalPage({ assets, version }, status, home) };
}

const linesOf = (passkeys: PasskeyReader): readonly CredentialLine[] =>
  passkeys.people().flatMap(({ credentials }) =>
    credentials.map(({ id, person, label, enrolledAt, countsFrom, backupEligible }) => ({
      ...{ id, person, label, enrolledAt, countsFrom },
      backedUp: backupEligible,
    })),
  );
