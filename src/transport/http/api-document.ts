import type { ApiHome } from "./api.ts";
import { apiRoutes } from "./api-routes.ts";
import type { Events } from "./events.ts";
import { openApiDocument } from "./openapi.ts";
import type { Route } from "./route.ts";

/** The definitions of all routes, for describing them: nothing behind them is there, so none may be asked. */
export const describedRoutes = (
  version: string,
  peopleRouteDocs: readonly Route[] = [],
): readonly Route[] => [...apiRoutes({ home: {} as ApiHome, version }, {} as Events), ...peopleRouteDocs];

/** docs/openapi.json as it has to stand in the repository. */
export const openApiText = (version: string, peopleRouteDocs: readonly Route[] = []): string =>
  `${JSON.stringify(openApiDocument(describedRoutes(version, peopleRouteDocs), version), null, 2)}\n`;
