import type { ApiHome } from "./api.ts";
import { apiRoutes } from "./api-routes.ts";
import type { Events } from "./events.ts";
import { openApiDocument } from "./openapi.ts";
import { PEOPLE_ROUTE_DOCS } from "./people-route-docs.ts";
import type { RouteDoc } from "./route.ts";

/** The definitions of all routes, for describing them: nothing behind them is there, so none may be asked. */
export const describedRoutes = (version: string): readonly RouteDoc[] => [
  ...apiRoutes({ home: {} as ApiHome, version }, {} as Events),
  ...PEOPLE_ROUTE_DOCS,
];

/** docs/openapi.json as it has to stand in the repository. */
export const openApiText = (version: string): string =>
  `${JSON.stringify(openApiDocument(describedRoutes(version), version), null, 2)}\n`;
