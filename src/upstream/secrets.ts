import { readFile } from "node:fs/promises";
import { NotSent } from "./failure.ts";
import type { ValueSource } from "./registration.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The values behind `env:` and `headers:`, read when a connection is made and kept nowhere else. */
export async function resolveValues(
  sources: Readonly<Record<string, ValueSource>>,
  env: Environment,
): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const [name, source] of Object.entries(sources)) {
    const value = await valueOf(name, source, env);
    // Whoever is handed such a header or variable refuses it, and may say its value as the reason.
    if (/[\0-\x08\n-\x1f\x7f]/.test(value))
      throw new NotSent(
        "upstream_unavailable",
        `${name} has a line break or another control character in its value`,
      );
    values[name] = value;
  }
  return values;
}

async function valueOf(name: string, source: ValueSource, env: Environment): Promise<string> {
  if (typeof source === "string") return source;
  const prefix = source.prefix ?? "";
  if ("from_env" in source) {
    const value = env[source.from_env];
    if (value !== undefined && value !== "") return prefix + value;
    throw new NotSent("upstream_unavailable", `${name}: the gateway's environment has no ${source.from_env}`);
  }
  try {
    return prefix + (await readFile(source.file, "utf8")).replace(/\r?\n$/, "");
  } catch (cause) {
    throw new NotSent("upstream_unavailable", `${name}: ${source.file} can't be read`, { cause });
  }
}

/** What a program needs to run at all. Nothing else of the gateway's environment reaches a fronted server. */
const PASSED_ON =
  /^(PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|TEMP|TMP|SystemRoot|SYSTEMROOT|WINDIR|PATHEXT|COMSPEC|APPDATA|LOCALAPPDATA|USERPROFILE)$/;

export const plainEnvironment = (env: Environment): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).filter(
      (pair): pair is [string, string] => pair[1] !== undefined && PASSED_ON.test(pair[0]),
    ),
  );
