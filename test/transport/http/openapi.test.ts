import { Validator } from "@seriousme/openapi-schema-validator";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { describedRoutes, openApiText } from "../../../src/transport/http/api-document.ts";
import { isOpenRoute } from "../../../src/transport/http/open-routes.ts";
import { API_PROBLEMS } from "../../../src/transport/http/problem.ts";
import { DECISION_REFUSALS } from "../../../src/consent/entries.ts";
import { FAULTS } from "../../../src/errors.ts";
import { REFUSALS } from "../../../src/request/refusal.ts";

// The document that ships is the one that the running gateway serves, and both are made from the routes themselves.

const root = join(import.meta.dirname, "../../..");
const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };

interface Document {
  readonly paths: Record<
    string,
    Record<string, { readonly operationId: string; readonly responses: object; readonly security: unknown[] }>
  >;
  readonly components: { readonly schemas: Record<string, unknown> };
}

describe("docs/openapi.json", () => {
  test("is current: npx tsx scripts/openapi.ts writes it", async () => {
    expect(await readFile(join(root, "docs/openapi.json"), "utf8")).toBe(openApiText(version));
  });

  test("is OpenAPI 3.1, and every reference in it leads somewhere", async () => {
    const document = JSON.parse(openApiText(version)) as Document;
    const validator = new Validator();
    const result = await validator.validate(structuredClone(document) as never);
    expect(result).toEqual({ valid: true });
    expect(validator.version).toBe("3.1");
    const names = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map((m) => m[1]);
    expect(names.length).toBeGreaterThan(30);
    for (const name of names) expect(document.components.schemas).toHaveProperty(name ?? "");
    expect(JSON.stringify(document)).not.toContain("$defs");
  });

  test("has every route once, each with an operation id of its own", () => {
    const document = JSON.parse(openApiText(version)) as Document;
    const routes = describedRoutes(version);
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = routes.map(({ method, path }) => `${method} /api/v1${path.replaceAll(/:(\w+)/g, "{$1}")}`);
    expect(described.toSorted()).toEqual(served.toSorted());
    expect(new Set(routes.map(({ id }) => id)).size).toBe(routes.length);
  });

  test("names only codes that docs/errors.md explains", () => {
    const known = new Set<string>([
      ...Object.keys(API_PROBLEMS),
      ...Object.keys(DECISION_REFUSALS),
      ...Object.keys(REFUSALS),
      ...Object.keys(FAULTS).map((code) => code.toLowerCase()),
    ]);
    for (const route of describedRoutes(version)) {
      for (const code of route.problems)
        expect([route.id, known.has(code), code]).toEqual([route.id, true, code]);
    }
  });

  test("only the probe, the document itself and the ways in need no credentials", () => {
    const open = describedRoutes(version).filter((route) => route.scope === null);
    for (const { method, path } of open)
      expect([path, isOpenRoute(method, `/api/v1${path}`, `/api/v1${path}`)]).toEqual([path, true]);
    expect(open.map(({ path }) => path).toSorted()).toEqual([
      ...["/auth/oidc", "/auth/oidc/callback", "/enrolment", "/enrolment/options", "/health"],
      ...["/openapi.json", "/session", "/session/passkey", "/session/passkey/options"],
    ]);
  });
});
