import { readFile } from "node:fs/promises";
import { ToolRefusal } from "../../src/tool.ts";
import type { ValueSource, WorkspaceRegistration } from "./registration.ts";

/** What an agent may give a variable. */
export type VariableValue = string | number | boolean;

/**
 * The agent's variables, each one declared by the operator and of its type.
 * @throws ToolRefusal `variable_not_declared`, `variable_refused`
 */
export function checkVariables(
  registration: WorkspaceRegistration,
  given: Readonly<Record<string, VariableValue>>,
): Readonly<Record<string, VariableValue>> {
  for (const [name, value] of Object.entries(given)) {
    const declared = Object.hasOwn(registration.variables, name) ? registration.variables[name] : undefined;
    if (declared === undefined) throw new ToolRefusal("variable_not_declared", name);
    const refuse = (why: string): never => {
      throw new ToolRefusal("variable_refused", `${name}: ${why}`);
    };
    switch (declared.type) {
      case "bool":
        if (typeof value !== "boolean") refuse("not true or false");
        break;
      case "number":
        if (typeof value !== "number") refuse("not a number");
        else if (value < (declared.min ?? -Infinity) || value > (declared.max ?? Infinity))
          refuse("out of bounds");
        break;
      case "string":
        if (typeof value !== "string") refuse("not a text");
        else if (value.length > declared.max_length || /\p{Cc}/u.test(value))
          refuse("too long, or a control character");
        else if (declared.one_of?.includes(value) === false) refuse("not one of those that are allowed");
        else if (declared.pattern !== undefined && !new RegExp(`^(?:${declared.pattern})$`, "u").test(value))
          refuse("not of the form that is expected");
        break;
    }
  }
  return given;
}

/** Values from the gateway's environment and from files of the operator's. */
export interface ReadValues {
  readonly values: Readonly<Record<string, VariableValue>>;
  /** Those that came from environment or file: nothing made from them may show them. */
  readonly secrets: readonly string[];
}

/**
 * Reads where the registration says. A value that stands in the registration is no secret.
 * @throws ToolRefusal `value_missing`
 */
export async function readValues(
  sources: Readonly<Record<string, ValueSource>>,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ReadValues> {
  const values: Record<string, VariableValue> = {};
  const secrets: string[] = [];
  for (const [name, source] of Object.entries(sources)) {
    if (source.value !== undefined) {
      values[name] = source.value;
      continue;
    }
    const value = source.env === undefined ? await readSecretFile(name, source.file ?? "") : env[source.env];
    if (value === undefined || value === "")
      throw new ToolRefusal("value_missing", `${name}: ${source.env ?? ""} is not set`);
    values[name] = value;
    secrets.push(value);
  }
  return { values, secrets };
}

async function readSecretFile(name: string, path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).replace(/\r?\n$/, "");
  } catch (error) {
    throw new ToolRefusal(
      "value_missing",
      `${name}: ${path}: ${(error as NodeJS.ErrnoException).code ?? "unreadable"}`,
    );
  }
}
