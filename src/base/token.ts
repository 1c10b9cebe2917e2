import { createHash, randomBytes } from "node:crypto";

/** What a token is good for is the prefix: `csm_` opens the MCP listener, `csa_` the API. Scanners find both. */
export type TokenKind = "csm" | "csa";

/** A new token with 256 random bits. It is shown or written once; configuration keeps {@link tokenSha256} of it. */
export const newToken = (kind: TokenKind): string => `${kind}_${randomBytes(32).toString("base64url")}`;

/** Lower-case hex SHA-256 of a token, as `settings.clients[].tokenSha256` holds it. */
export const tokenSha256 = (token: string): string => createHash("sha256").update(token).digest("hex");
