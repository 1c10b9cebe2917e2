import type { OauthSettings } from "../config/settings.ts";

/** What an issuer of access tokens answers now. */
export interface IssuerProbe {
  readonly issuer: string;
  /** How many keys it has; null where they can't be had. */
  readonly keys: number | null;
  /** Why not, in our words. */
  readonly why: string | null;
}

/** Asks every configured issuer for its keys, as the listener does. */
export async function probeIssuers(settings: OauthSettings): Promise<readonly IssuerProbe[]> {
  // Only here: who uses no access tokens pays for no JWT library.
  const { fetchKeys, locateKeys } = await import("../transport/http/issuer-keys.ts");
  return Promise.all(
    settings.issuers.map(async (one): Promise<IssuerProbe> => {
      const { issuer } = one;
      try {
        const { keys } = await fetchKeys(await locateKeys(one));
        return { issuer, keys: keys.length, why: null };
      } catch (error) {
        return { issuer, keys: null, why: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
}
