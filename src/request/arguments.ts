import { canonicalCopy, canonicalJson, type Json, type JsonObject } from "../base/canonical-json.ts";
import { isFault } from "../errors.ts";
import { err, ok, type Result } from "../base/result.ts";
import { JUSTIFICATION, JUSTIFICATION_FALLBACK, MAX_REASONING_BYTES, type Reasoning } from "./reasoning.ts";

/** Canonical arguments above this are refused. */
export const MAX_ARGUMENT_BYTES = 1024 * 1024;

export interface ReadCall {
  /** The agent's own arguments, without our justification: a canonical copy. */
  readonly arguments: JsonObject;
  readonly reasoning: Reasoning;
}

export interface BadCall {
  readonly code: "invalid_arguments" | "call_too_large";
  readonly message: string;
}

/** The name under which a tool with these properties is asked for its justification. */
export const justificationName = (properties: Readonly<Record<string, unknown>>): string =>
  Object.hasOwn(properties, JUSTIFICATION) ? JUSTIFICATION_FALLBACK : JUSTIFICATION;

/** Takes a call apart at the door: arguments, justification, reasoning, each within its limits (design §11). */
export function readCall(raw: unknown, reasoning: unknown, justifiedAs: string): Result<ReadCall, BadCall> {
  const value = raw ?? {};
  if (typeof value !== "object" || Array.isArray(value)) {
    return err({
      code: "invalid_arguments",
      message: `expected an object of arguments, got ${kindOf(value)}`,
    });
  }
  try {
    const { [justifiedAs]: justification, ...rest } = value as Record<string, unknown>;
    if (justification !== undefined && typeof justification !== "string") {
      return err({
        code: "invalid_arguments",
        message: `at /${justifiedAs}: expected a string, got ${kindOf(justification)}`,
      });
    }
    const given = canonicalCopy(rest as JsonObject);
    const bytes = canonicalLength(given);
    if (bytes > MAX_ARGUMENT_BYTES) {
      return err({
        code: "call_too_large",
        message: `the arguments are ${bytes} bytes; at most ${MAX_ARGUMENT_BYTES} are taken`,
      });
    }
    const claimed = readReasoning(justification ?? null, reasoning);
    if (!claimed.ok) return claimed;
    return ok({ arguments: given, reasoning: claimed.value });
  } catch (error) {
    if (!isFault(error, "ARGUMENTS_UNREPRESENTABLE")) throw error;
    return err({ code: "invalid_arguments", message: error.message });
  }
}

function readReasoning(justification: string | null, chain: unknown): Result<Reasoning, BadCall> {
  const claimed: Reasoning = {
    justification,
    chain: chain === undefined ? null : canonicalCopy(chain as Json),
  };
  const bytes = canonicalLength(claimed);
  if (bytes > MAX_REASONING_BYTES) {
    return err({
      code: "call_too_large",
      message: `justification and reasoning are ${bytes} bytes; at most ${MAX_REASONING_BYTES} are taken`,
    });
  }
  return ok(claimed);
}

const canonicalLength = (value: unknown): number => Buffer.byteLength(canonicalJson(value));

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}
