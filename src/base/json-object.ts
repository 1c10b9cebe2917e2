import type { JsonObject } from "./canonical-json.ts";

/** True for an object of JSON that is no list; of what came from `JSON.parse`, its members are JSON too. */
export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
