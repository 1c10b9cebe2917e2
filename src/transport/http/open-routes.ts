// What needs no credentials: a probe, and the ways to get some. Paths are compared as they came.

const OPEN: ReadonlySet<string> = new Set([
  "GET /api/v1/openapi.json",
  "GET /api/v1/session",
  "POST /api/v1/session/passkey/options",
  "POST /api/v1/session/passkey",
  "GET /api/v1/auth/oidc",
  "GET /api/v1/auth/oidc/callback",
  "POST /api/v1/enrolment/options",
  "POST /api/v1/enrolment",
]);
/** One file of the console's, by a name that leads nowhere else. */
const ASSET = /^\/assets\/[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+$/;

/** `raw` is the request's target with its query: a probe asks for exactly this and nothing else. */
export const isOpenRoute = (method: string, path: string, raw: string): boolean =>
  (method === "GET" && raw === "/api/v1/health") || OPEN.has(`${method} ${path}`);

/** Pages that somebody who has not signed in may see. */
export const isOpenPage = (method: string, path: string): boolean =>
  (method === "GET" || method === "HEAD") && (path === "/sign-in" || path === "/enrol" || ASSET.test(path));
