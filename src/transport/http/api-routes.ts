import * as z from "zod";
import type { ApiParts } from "./api.ts";
import { callRoutes } from "./call-routes.ts";
import { decisionRoutes } from "./decision-routes.ts";
import { eventRoute, type Events } from "./events.ts";
import { inquiryRoutes } from "./inquiry-routes.ts";
import { logRoutes } from "./log-routes.ts";
import { openApiDocument } from "./openapi.ts";
import { policyRoutes } from "./policy-routes.ts";
import { requestRoutes } from "./request-routes.ts";
import { defineRoute, type Route } from "./route.ts";
import { settlementRoutes } from "./settlement-routes.ts";

/** What the routes need of the listener's parts. */
export type RouteParts = Pick<
  ApiParts,
  "home" | "receipt" | "verification" | "inquiries" | "settling" | "version" | "clock" | "peopleRouteDocs"
>;

/** Everything under `/api/v1` but people and sessions. */
export function apiRoutes(parts: RouteParts, events: Events): readonly Route[] {
  let document: unknown = null;
  const routes: Route[] = [
    ...requestRoutes(parts),
    ...decisionRoutes(parts),
    ...callRoutes(parts),
    ...inquiryRoutes(parts),
    ...settlementRoutes(parts),
    ...logRoutes(parts),
    ...policyRoutes(parts),
    eventRoute(events),
    defineRoute({
      method: "GET",
      path: "/health",
      id: "getHealth",
      tag: "gateway",
      summary: "Whether the gateway answers. For probes; tells nothing else.",
      scope: null,
      answers: {
        200: { description: "It does.", schema: z.strictObject({ status: z.literal("ok") }) },
      },
      problems: [],
      handle: () => Promise.resolve({ document: { status: "ok" } }),
    }),
    defineRoute({
      method: "GET",
      path: "/openapi.json",
      id: "getOpenApi",
      tag: "gateway",
      summary: "This document.",
      scope: null,
      answers: { 200: { description: "OpenAPI 3.1.", schema: z.looseObject({ openapi: z.string() }) } },
      problems: [],
      // Made once, from the very routes that serve.
      handle: () => {
        document ??= openApiDocument([...routes, ...(parts.peopleRouteDocs ?? [])], parts.version);
        return Promise.resolve({ document });
      },
    }),
  ];
  return routes;
}
