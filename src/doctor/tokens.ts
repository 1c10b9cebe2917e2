import type { OauthSettings, Settings } from "../config/settings.ts";
import { probeIssuers } from "../serve/probe-issuers.ts";
import { findRunning } from "../serve/running.ts";
import { fail, fine, warn, type Check, type Finding, type Patient } from "./check.ts";

const ANSWER_MS = 3_000;

/** What agents present at the MCP listener: static tokens whose time is over, and access tokens that could not work. */
export const checkTokens: Check = {
  name: "tokens",
  needs: "settings",
  async look(patient) {
    const settings = patient.settings as Settings;
    const { oauth } = settings;
    const findings = [
      ...overdue(settings, patient.clock.now()),
      ...(oauth === null ? [] : await issuers(patient, oauth)),
      ...(oauth === null ? [] : await resource(patient, settings, oauth)),
    ];
    if (findings.length > 0) return findings;
    const { length } = settings.clients;
    return [fine(`${length} static token${length === 1 ? "" : "s"}, no access tokens (oauth is not set)`)];
  },
};

const overdue = ({ clients }: Settings, now: number): readonly Finding[] =>
  clients
    .filter(({ expiresAt }) => expiresAt !== null && expiresAt <= now)
    .map(({ name }) =>
      warn(
        `the time of the token ${name} is over`,
        "take it out of clients, or make another: countersign token new",
      ),
    );

async function issuers(patient: Patient, oauth: OauthSettings): Promise<readonly Finding[]> {
  const accounts = (await patient.adopted())?.policy?.accounts;
  const all = [accounts?.principals, accounts?.actors, accounts?.clients];
  return (await probeIssuers(oauth)).flatMap(({ issuer, keys, why }): Finding[] => {
    const known = all.map((map) => [...(map?.keys() ?? [])].some((key) => key.startsWith(`${issuer} `)));
    const missing = [
      ...(known[0] === true ? [] : ["person or service"]),
      ...(known[1] === true || known[2] === true ? [] : ["agent"]),
    ];
    return [
      keys === null
        ? fail(
            `the keys of ${issuer} can't be had: ${why ?? ""}`,
            "its tokens are answered with 503; check oauth.issuers, and that this machine reaches it",
          )
        : keys === 0
          ? fail(`${issuer} has no keys`, "no token of it can be verified; look at its key set")
          : fine(`${issuer} has ${keys} key${keys === 1 ? "" : "s"}`),
      ...(accounts === undefined || missing.length === 0
        ? []
        : [
            warn(
              `the policy knows no ${missing.join(" and no ")} at ${issuer}: its tokens can only read`,
              "say who they are under oidc of people, services and agents",
            ),
          ]),
    ];
  });
}

/** Tokens are made for one URL; where clients reach us by another, they get none that count. */
async function resource(
  patient: Patient,
  { listeners, dataDir }: Settings,
  oauth: OauthSettings,
): Promise<readonly Finding[]> {
  const { hostname, port, pathname, protocol } = new URL(oauth.resource);
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
  const given = Number(port === "" ? (protocol === "https:" ? 443 : 80) : port);
  if (isLocal && ((listeners.mcp.port !== 0 && given !== listeners.mcp.port) || pathname !== "/mcp")) {
    return [
      fail(
        `oauth.resource is ${oauth.resource}, and agents are served at port ${listeners.mcp.port}, path /mcp`,
        "clients refuse a resource that is not where they called: correct oauth.resource or listeners.mcp",
      ),
    ];
  }
  const running = await findRunning(dataDir, patient.clock.now());
  if (running === null) return [];
  const served = await metadataOf(running.mcp);
  return served === oauth.resource
    ? [fine(`the gateway says that it is ${served}`)]
    : [
        fail(
          `the gateway that runs says ${served === null ? "nothing of a resource" : `that it is ${served}`}, and oauth.resource is ${oauth.resource}`,
          "start it again: it reads countersign.yaml when it starts",
        ),
      ];
}

const metadataOf = (mcp: string): Promise<string | null> =>
  fetch(new URL("/.well-known/oauth-protected-resource", mcp), {
    signal: AbortSignal.timeout(ANSWER_MS),
    redirect: "manual",
  }).then(
    async (response) => {
      const document: unknown = response.status === 200 ? await response.json() : null;
      const found = (document as { resource?: unknown } | null)?.resource;
      return typeof found === "string" ? found : null;
    },
    () => null,
  );
