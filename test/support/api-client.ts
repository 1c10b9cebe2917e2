import { expect } from "vitest";
import { z } from "zod";
import type { Session, Sessions } from "../../src/transport/http/actor.ts";
import { describedRoutes } from "../../src/transport/http/api-document.ts";
import { problemDocument } from "../../src/transport/http/documents.ts";
import { rawHttp, type RawAnswer, type RawRequest } from "./raw-http.ts";

// A client of the people's listener that believes nothing: every answer has to be what the route says it is, strictly.

export interface ApiAnswer extends RawAnswer {
  readonly code: unknown;
}

export interface ApiClient {
  get(path: string, headers?: RawRequest["headers"]): Promise<ApiAnswer>;
  post(path: string, body: unknown, headers?: RawRequest["headers"]): Promise<ApiAnswer>;
}

const ROUTES = describedRoutes("test").map((route) => ({
  ...route,
  pattern: new RegExp(`^${route.path.replaceAll(/:\w+/g, "[^/]+").replaceAll(".", "\\.")}$`),
}));

/** Checks one answer against its route, or against the problem schema. */
export function expectDescribed(method: string, path: string, answer: RawAnswer): void {
  if (answer.status >= 400) {
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    expect(problemDocument.safeParse(answer.json).error?.issues, answer.text).toBeUndefined();
    expect(answer.json["status"]).toBe(answer.status);
    expect(answer.json["hint"], answer.text).toBeTypeOf("string");
    return;
  }
  const [name = ""] = path.split("?");
  const route = ROUTES.find((one) => one.method === method && one.pattern.test(name));
  expect(route, `${method} ${name} is described`).toBeDefined();
  const described = route?.answers[answer.status as 200];
  expect(described, `${method} ${name} may answer ${answer.status}`).toBeDefined();
  if (described === undefined || described.media === "text/event-stream") return;
  const issues = (described.schema as z.ZodType).safeParse(answer.json).error?.issues;
  expect(issues, `${method} ${name}: ${answer.text.slice(0, 400)}`).toBeUndefined();
}

export function createApiClient(
  port: () => number,
  credentials: () => Readonly<Record<string, string>>,
): ApiClient {
  const ask = async (
    options: Omit<RawRequest, "port"> & { readonly path: string; readonly method: string },
  ) => {
    const answer = await rawHttp({ ...options, port: port(), path: `/api/v1${options.path}` });
    expectDescribed(options.method, options.path, answer);
    return { ...answer, code: answer.json["code"] };
  };
  const own = (): Record<string, string> => ({ host: `localhost:${port()}`, ...credentials() });
  return {
    get: (path, headers = {}) => ask({ path, method: "GET", headers: { ...own(), ...headers } }),
    post: (path, body, headers = {}) =>
      ask({
        path,
        method: "POST",
        headers: { ...own(), "content-type": "application/json", ...headers },
        body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
      }),
  };
}

/** Sessions kept in a table: the port as a real implementation keeps it, without the ways to sign in. */
export interface SessionTable extends Sessions {
  /** Signs somebody in; the headers with which their page calls. */
  signIn(person: string, at: number): { readonly session: Session; readonly cookie: string };
  revoke(id: string): void;
}

export function createSessionTable(now: () => number): SessionTable {
  const byCookie = new Map<string, Session>();
  let count = 0;
  return {
    signIn(person, at) {
      count += 1;
      const session: Session = {
        ...{ id: `s${count}`, person, method: "passkey", subject: `credential of ${person}` },
        ...{ signedInAt: at, expiresAt: at + 8 * 3_600_000, csrf: `csrf-${count}-${person}` },
      };
      const cookie = `__Host-countersign=secret-${count}`;
      byCookie.set(cookie, session);
      return { session, cookie };
    },
    revoke(id) {
      for (const [cookie, session] of byCookie) if (session.id === id) byCookie.delete(cookie);
    },
    find(header) {
      for (const part of (header ?? "").split(";")) {
        const session = byCookie.get(part.trim());
        if (session !== undefined && session.expiresAt > now()) return session;
      }
      return null;
    },
  };
}
