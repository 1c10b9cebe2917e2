import type { Json } from "../base/canonical-json.ts";
import { maskJson, maskText } from "../log/redact.ts";
import type { Masker } from "./evidence.ts";

/** Masks with the home's `mask` key, so that one secret looks the same wherever it stands. */
export function createMasker(maskKey: Uint8Array): Masker {
  return {
    json: (value, keys = []) => maskJson(value as Json, { maskKey, keys }).value as typeof value,
    view: (value) => maskJson(value as Json, { maskKey, byName: false }).value as typeof value,
    text: (text) => maskText(text, { maskKey, assignments: true }).value,
  };
}
