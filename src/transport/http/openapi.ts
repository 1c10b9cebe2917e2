import * as z from "zod";
import { SCOPES } from "./actor.ts";
import { problemDocument } from "./documents.ts";
import type { RouteDoc } from "./route.ts";

// The API as an OpenAPI 3.1 document, made from the very definitions that serve.

type Schema = Record<string, unknown>;

/** Problems that any route can answer with. */
const EVERYWHERE = [
  ...["bad_request", "unauthenticated", "scope_missing", "wrong_origin", "csrf", "wrong_host"],
  ...["too_many", "internal"],
];

/** The document of these routes. */
export function openApiDocument(routes: readonly RouteDoc[], version: string): unknown {
  const components: Record<string, Schema> = {};
  const schemaOf = (schema: z.ZodType, io: "input" | "output"): Schema =>
    hoist(
      z.toJSONSchema(schema, {
        ...{ target: "draft-2020-12", io, unrepresentable: "any" },
        // What comes out may have more one day; what goes in is refused where it has.
        override: ({ jsonSchema }) => {
          if (io === "output") delete jsonSchema.additionalProperties;
        },
      }) as Schema,
      components,
    );

  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = `/api/v1${route.path.replaceAll(/:(\w+)/g, "{$1}")}`;
    const at = (paths[path] ??= {});
    at[route.method.toLowerCase()] = operation(route, schemaOf);
  }
  schemaOf(problemDocument, "output");
  return {
    openapi: "3.1.1",
    info: {
      title: "Countersign",
      version,
      summary: "Requests of agents, and the people who decide on them.",
      description:
        "Errors are problem documents (RFC 9457) whose `code` is for ever; docs/errors.md has one heading each. docs/api.md tells how to sign.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "http://localhost:7332", description: "The gateway on this machine." }],
    tags: [
      { name: "requests", description: "What was asked for, and asking." },
      { name: "decisions", description: "What people sign." },
      { name: "policy" },
      { name: "log" },
      { name: "people", description: "Who may sign, with what, and who is signed in." },
      { name: "gateway" },
    ].filter((tag) => routes.some((route) => route.tag === tag.name)),
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(components).sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          description: `A token of the API, with scopes: ${SCOPES.join(", ")}. Make one: countersign token new.`,
        },
        session: {
          type: "apiKey",
          in: "cookie",
          name: "__Host-countersign-HOME",
          description:
            "A person who signed in. Everything but GET needs `X-CSRF-Token` and our own `Origin`.",
        },
      },
    },
  };
}

function operation(
  route: RouteDoc,
  schemaOf: (schema: z.ZodType, io: "input" | "output") => Schema,
): unknown {
  const { who, scope } = route;
  const needs =
    scope === null
      ? "Needs no credentials."
      : `Needs the scope \`${scope}\`${who === "person" ? ", and a person's session" : who === "program" ? ", and a token that acts for a principal and agent" : ""}.`;
  const codes = [...new Set([...(scope === null ? [] : EVERYWHERE), ...route.problems])];
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    description: [route.description, needs].filter(Boolean).join("\n\n"),
    ...(scope === null ? { security: [] } : { security: securityOf(route) }),
    ...parameters(route, schemaOf),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { "application/json": { schema: schemaOf(route.body, "input") } },
          },
        }),
    responses: {
      ...Object.fromEntries(
        Object.entries(route.answers).map(([status, { description, schema, media }]) => [
          status,
          {
            description,
            ...(schema === undefined
              ? {}
              : { content: { [media ?? "application/json"]: { schema: schemaOf(schema, "output") } } }),
          },
        ]),
      ),
      default: {
        description: `A problem; its code is one of: ${codes.join(", ")}.`,
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  };
}

const securityOf = ({ who }: RouteDoc): readonly unknown[] => [
  ...(who === "person" ? [] : [{ token: [] }]),
  ...(who === "program" ? [] : [{ session: [] }]),
];

function parameters(
  route: RouteDoc,
  schemaOf: (schema: z.ZodType, io: "input" | "output") => Schema,
): { readonly parameters?: readonly unknown[] } {
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const query = route.query === undefined ? {} : schemaOf(route.query, "input");
  const required = (query["required"] ?? []) as readonly string[];
  const inQuery = Object.entries((query["properties"] ?? {}) as Record<string, Schema>).map(
    ([name, { description, ...schema }]) => ({
      name,
      in: "query",
      required: required.includes(name),
      ...(description === undefined ? {} : { description }),
      schema,
    }),
  );
  const inHeader = [
    ...(route.replays === true || route.id === "makeRequest"
      ? [
          {
            name: "Idempotency-Key",
            in: "header",
            required: false,
            description: "Sent again with the same key, the answer is the first one's.",
            schema: { type: "string", maxLength: 255 },
          },
        ]
      : []),
    ...(route.id === "listen"
      ? [{ name: "Last-Event-ID", in: "header", required: false, schema: { type: "string" } }]
      : []),
  ];
  const all = [...inPath, ...inQuery, ...inHeader];
  return all.length === 0 ? {} : { parameters: all };
}

/** Moves shared schemas from `$defs` to the document's components, and points to them there. */
function hoist(schema: Schema, components: Record<string, Schema>): Schema {
  const { $schema: _dialect, $defs, id: _id, ...rest } = schema;
  for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, Schema>)) {
    const { id: _named, ...body } = definition;
    components[name] ??= point(body) as Schema;
  }
  const name = _id;
  if (typeof name !== "string") return point(rest) as Schema;
  components[name] ??= point(rest) as Schema;
  return { $ref: `#/components/schemas/${name}` };
}

function point(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(point);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === "$ref" && typeof inner === "string"
        ? inner.replace("#/$defs/", "#/components/schemas/")
        : point(inner),
    ]),
  );
}
