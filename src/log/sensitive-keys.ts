// Names under which secrets are kept. Compared in a normal form: letters and digits only, lower case, so that
// `api_key`, `apiKey` and `API-KEY` are one name.

const EXACT: ReadonlySet<string> = new Set([
  "auth",
  "authorization",
  "proxyauthorization",
  "bearer",
  "connectionstring",
  "connstring",
  "connstr",
  "cookie",
  "cookies",
  "credential",
  "credentials",
  "databaseurl",
  "dburl",
  "dsn",
  "jwt",
  "passcode",
  "passwd",
  "passwords",
  "pgpass",
  "pwd",
  "secrets",
  "sessionid",
  "setcookie",
  "xapikey",
]);

const ENDINGS = [
  "password",
  "passphrase",
  "secret",
  "token",
  "apikey",
  "accesskey",
  "secretkey",
  "privatekey",
  "signingkey",
  "encryptionkey",
  "accountkey",
  "accesskeyid",
  "secretaccesskey",
  "clientsecret",
  "connectionstring",
] as const;

/** Names that end like a secret and are none. */
const HARMLESS: ReadonlySet<string> = new Set([
  "nexttoken",
  "nextpagetoken",
  "pagetoken",
  "continuationtoken",
  "synctoken",
  "clienttoken",
  "clientrequesttoken",
  "idempotencytoken",
  "progresstoken",
]);

/** One look: asked one ending after the other, a name costs six times as much. */
const ENDS_LIKE_ONE = new RegExp(`(?:${ENDINGS.join("|")})$`);

/** Most names are in normal form already. */
const NORMAL = /^[a-z0-9]*$/;

export const normaliseKey = (key: string): string =>
  NORMAL.test(key) ? key : key.toLowerCase().replaceAll(/[^a-z0-9]/g, "");

/** Says whether a value under this name is masked whatever it looks like. `extra`: further names, in normal form. */
export function isSensitiveKey(key: string, extra: ReadonlySet<string>): boolean {
  if (key.length > 128) return false;
  const name = normaliseKey(key);
  if (extra.has(name)) return true;
  if (HARMLESS.has(name)) return false;
  return EXACT.has(name) || ENDS_LIKE_ONE.test(name);
}
