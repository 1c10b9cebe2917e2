import type { PolicyDocument } from "./resolve.ts";

// Who an account at an identity provider is. Keys are issuer and id together: the same subject at another issuer is
// somebody else. Subjects and clients are told apart, for a provider may let people choose what a client is called.

/** Who may be a principal. */
export interface AccountHolder {
  readonly kind: "person" | "service";
  readonly id: string;
}

/** What `oidc` of people, services and agents says; a disabled person has no account. */
export interface Accounts {
  readonly principals: ReadonlyMap<string, AccountHolder>;
  /** Agents by the subject that an actor claim names. */
  readonly actors: ReadonlyMap<string, string>;
  /** Agents by the client that a token was issued to. */
  readonly clients: ReadonlyMap<string, string>;
}

/** The one key of an account. Issuers are URLs and have no space, so no two accounts have the same. */
export const accountKey = (issuer: string, id: string): string => `${issuer} ${id}`;

export function accountsOf(document: PolicyDocument): Accounts {
  const principals = new Map<string, AccountHolder>();
  for (const [id, { oidc, disabled }] of Object.entries(document.people)) {
    if (oidc !== null && !disabled)
      principals.set(accountKey(oidc.issuer, oidc.subject), { kind: "person", id });
  }
  for (const [id, { oidc }] of Object.entries(document.services)) {
    if (oidc !== undefined) principals.set(accountKey(oidc.issuer, oidc.subject), { kind: "service", id });
  }
  const [actors, clients] = [new Map<string, string>(), new Map<string, string>()];
  for (const [id, { oidc }] of Object.entries(document.agents)) {
    if (oidc === undefined) continue;
    if ("subject" in oidc) actors.set(accountKey(oidc.issuer, oidc.subject), id);
    else clients.set(accountKey(oidc.issuer, oidc.client_id), id);
  }
  return { principals, actors, clients };
}

/** An agent's or service's account as the diff and errors name it. */
export const accountText = (
  oidc:
    | { readonly issuer: string; readonly subject: string }
    | { readonly issuer: string; readonly client_id: string },
): string =>
  "subject" in oidc
    ? accountKey(oidc.issuer, oidc.subject)
    : `${accountKey(oidc.issuer, oidc.client_id)} (client)`;
