import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import type * as OpenidClient from "openid-client";
import type { OidcSettings } from "../../config/settings.ts";
import { CountersignError } from "../../errors.ts";
import type { PersonId } from "../../request/principal.ts";
import { onlyCookie } from "./sessions.ts";

// Sign-in by an identity provider: authorization code with PKCE, state, nonce and max_age (OpenID Connect Core §3.1).
//
//   O1. Only the configured issuer is asked and believed.
//   O2. A person is found by issuer and subject, never by an e-mail address or a name.
//   O3. What comes back belongs to the browser that left: state is held under a cookie, once, for ten minutes.
//   O4. The session is as old as the login at the provider (`auth_time`), so an old one there shows A1 here.
//   O5. Groups of the provider can bar a person. They make nobody eligible: groups are the policy's.

export interface OidcParts {
  readonly settings: OidcSettings;
  now(): number;
  /** The address of our own pages, at which the provider sends people back. */
  origin(): string;
  /** The person with this account, enabled; null for nobody. */
  personOf(issuer: string, subject: string): PersonId | null;
}

export interface OidcSignIn {
  /** Where to send the browser, and the cookie that ties the way back to it. `to` is a path of ours. */
  start(to: string): Promise<{ readonly url: string; readonly cookie: string }>;
  /** Takes the browser back in. @throws CountersignError `SIGN_IN_REFUSED` */
  finish(
    query: string,
    cookieHeader: string | undefined,
  ): Promise<{
    readonly person: PersonId;
    /** `issuer subject`. */
    readonly subject: string;
    readonly signedInAt: number;
    readonly to: string;
  }>;
  readonly clearCookie: string;
}

export const OIDC_CALLBACK = "/api/v1/auth/oidc/callback";

const COOKIE = "__Host-countersign-oidc";
// Lax: the provider's redirect is a navigation from another site, which Strict would not let it ride on.
const ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax";
const FLOW_LIFE_MS = 10 * 60_000;
/** More than one address may begin in that time: nobody pushes out the sign-in of another. */
const MOST_FLOWS = 30_000;
const DISCOVERY_LIFE_MS = 3_600_000;

interface Flow {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly to: string;
  readonly until: number;
}

const refused = (message: string, hint: string, cause?: unknown): CountersignError =>
  new CountersignError("SIGN_IN_REFUSED", message, { hint, cause });
const AGAIN = "start again from the sign-in page";

export function createOidcSignIn(parts: OidcParts): OidcSignIn {
  const { settings, now } = parts;
  const flows = new Map<string, Flow>();
  let discovered: { readonly at: number; readonly client: Promise<Client> } | null = null;

  const client = (): Promise<Client> => {
    if (discovered === null || now() - discovered.at > DISCOVERY_LIFE_MS) {
      const loading = discover(settings);
      discovered = { at: now(), client: loading };
      // A provider that was away for a moment is asked again.
      loading.catch(() => {
        discovered = null;
      });
    }
    return discovered.client;
  };
  const keyOf = (token: string): string => createHash("sha256").update(token).digest("hex");

  return {
    clearCookie: `${COOKIE}=; ${ATTRIBUTES}; Max-Age=0`,

    async start(to) {
      const { openid, config } = await client();
      for (const [key, { until }] of flows) {
        if (until > now() && flows.size < MOST_FLOWS) break;
        flows.delete(key);
      }
      const token = randomBytes(32).toString("base64url");
      const flow: Flow = {
        state: openid.randomState(),
        nonce: openid.randomNonce(),
        verifier: openid.randomPKCECodeVerifier(),
        to,
        until: now() + FLOW_LIFE_MS,
      };
      flows.set(keyOf(token), flow);
      const url = openid.buildAuthorizationUrl(config, {
        redirect_uri: `${parts.origin()}${OIDC_CALLBACK}`,
        scope: ["openid", ...settings.scopes].join(" "),
        state: flow.state,
        nonce: flow.nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(flow.verifier),
        code_challenge_method: "S256",
        max_age: String(Math.floor(settings.maxAgeMs / 1_000)),
      });
      return { url: url.href, cookie: `${COOKIE}=${token}; ${ATTRIBUTES}; Max-Age=${FLOW_LIFE_MS / 1_000}` };
    },

    async finish(query, cookieHeader) {
      const token = onlyCookie(cookieHeader, COOKIE);
      const key = token === null ? "" : keyOf(token);
      const flow = flows.get(key);
      flows.delete(key);
      if (flow === undefined || flow.until <= now()) {
        throw refused("this sign-in was not begun in this browser, or took too long", AGAIN);
      }
      const { openid, config } = await client();
      // Built of our own origin: a Host header says nothing about where we are.
      const url = new URL(`${parts.origin()}${OIDC_CALLBACK}${query}`);
      let claims: ReturnType<Tokens["claims"]>;
      try {
        const tokens = await openid.authorizationCodeGrant(config, url, {
          pkceCodeVerifier: flow.verifier,
          expectedState: flow.state,
          expectedNonce: flow.nonce,
          maxAge: Math.floor(settings.maxAgeMs / 1_000),
          idTokenExpected: true,
        });
        claims = tokens.claims();
      } catch (error) {
        throw refused(`the identity provider's answer was not accepted: ${wordsOf(error)}`, AGAIN, error);
      }
      if (claims === undefined || typeof claims.auth_time !== "number") {
        throw refused(
          "the identity provider does not say when the person signed in",
          "let it give auth_time",
        );
      }
      const { iss, sub } = claims;
      demandGroups(settings, claims[settings.groupsClaim]);
      const person = iss === settings.issuer ? parts.personOf(iss, sub) : null;
      if (person === null) {
        throw refused(
          `nobody in the running policy is "${printable(sub)}" at ${printable(iss)}`,
          `an admin adds it: people: { <person>: { oidc: { issuer: ${printable(iss)}, subject: "${printable(sub)}" } } }`,
        );
      }
      const signedInAt = Math.min(claims.auth_time * 1_000, now());
      return { person, subject: `${iss} ${sub}`, signedInAt, to: flow.to };
    },
  };
}

type Tokens = Awaited<ReturnType<typeof OpenidClient.authorizationCodeGrant>>;

interface Client {
  readonly openid: typeof OpenidClient;
  readonly config: OpenidClient.Configuration;
}

async function discover(settings: OidcSettings): Promise<Client> {
  const openid = await import("openid-client");
  const issuer = new URL(settings.issuer);
  const secret = settings.clientSecretFile === null ? null : await readSecret(settings.clientSecretFile);
  const authenticate: OpenidClient.ClientAuth =
    secret === null
      ? openid.None()
      : (server, ...rest) => {
          const methods = server.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
          const how = methods.includes("client_secret_basic")
            ? openid.ClientSecretBasic
            : openid.ClientSecretPost;
          return how(secret)(server, ...rest);
        };
  try {
    const config = await openid.discovery(issuer, settings.clientId, undefined, authenticate, {
      timeout: 10,
      // The settings take http for this machine alone.
      execute: issuer.protocol === "http:" ? [openid.allowInsecureRequests] : [],
    });
    return { openid, config };
  } catch (error) {
    throw refused(
      `the identity provider ${settings.issuer} can't be asked: ${wordsOf(error)}`,
      "sign in with a passkey; check oidc.issuer in countersign.yaml",
      error,
    );
  }
}

async function readSecret(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (cause) {
    throw refused(`the client secret at ${path} can't be read`, "check oidc.client_secret_file", cause);
  }
}

/** A claim bars; it never lets in (O5). */
function demandGroups({ requireGroups, groupsClaim }: OidcSettings, claim: unknown): void {
  if (requireGroups.length === 0) return;
  const groups = Array.isArray(claim) ? claim : [];
  if (requireGroups.some((group) => groups.includes(group))) return;
  throw refused(
    `the identity provider names none of the groups that may sign in (${groupsClaim})`,
    `somebody at the provider adds the person to one of: ${requireGroups.join(", ")}`,
  );
}

/** The provider's words are its own: a code of letters, or nothing. */
function wordsOf(error: unknown): string {
  const { error: code, code: own } = error as { readonly error?: unknown; readonly code?: unknown };
  for (const word of [code, own])
    if (typeof word === "string" && /^[A-Za-z0-9_]{1,60}$/.test(word)) return word;
  return "it does not verify";
}

const printable = (text: string): string => (/^[\x21-\x7e]{1,200}$/.test(text) ? text : "an odd name");
