import { neutralLine } from "../base/text.ts";
import type { Settings } from "../config/settings.ts";
import type { Acceptance, ComparedTool, ComparedUpstream } from "../upstream/compare.ts";
import { CountersignError } from "../errors.ts";
import type { Cli } from "./context.ts";

/** What the commands about fronted servers need of src/upstream: connections for as long as `use` runs. */
export interface UpstreamTools {
  use<T>(settings: Settings, work: (live: LiveUpstreams) => Promise<T>): Promise<T>;
}

export interface LiveUpstreams {
  /** The aliases that countersign.yaml registers. */
  readonly aliases: readonly string[];
  compare(only: string | null): Promise<readonly ComparedUpstream[]>;
  /** Writes tools.lock.json; gives its path. */
  accept(wanted: readonly Acceptance[]): Promise<string>;
}

const MAX_VALUE = 400;

/** A definition's part as one line: its length is said where it is not shown whole. */
const valueOf = (text: string | null): string => {
  if (text === null) return "nothing";
  const line = neutralLine(text.slice(0, MAX_VALUE));
  return text.length > MAX_VALUE ? `${line}… (${text.length} characters)` : line;
};

export const MARKS = { accepted: " ", new: "+", changed: "~", gone: "-", unusable: "!" } as const;

/** One tool: its mark, its name, what it counts as. */
export const toolLine = (tool: ComparedTool): string => {
  const about =
    tool.state === "unusable"
      ? `can't be used: it ${tool.why ?? ""}`
      : `${tool.state}, ${tool.effect ?? "no longer listed"}`;
  return `${MARKS[tool.state]} ${neutralLine(tool.name)}  ${neutralLine(about)}`;
};

/** What differs, one place a line. */
export const changeLines = (tool: ComparedTool): readonly string[] =>
  tool.changes.map(
    ({ path, before, after }) => `    ${neutralLine(path)}: ${valueOf(before)} -> ${valueOf(after)}`,
  );

export const headLine = (one: ComparedUpstream): string =>
  one.unreached === null
    ? `${one.upstream}: ${neutralLine(one.server ?? "a server without a name")}, ${one.era ?? ""} era, ${one.tools.length} tools`
    : `${one.upstream}: not reached: ${neutralLine(one.unreached)}`;

export const differs = (tool: ComparedTool): boolean =>
  tool.state !== "accepted" && tool.state !== "unusable";

/** @throws CountersignError `USAGE`, `CONFIG_INVALID` */
export async function withUpstreams(
  cli: Cli,
  settings: Settings,
  alias: string | undefined,
  work: (live: LiveUpstreams) => Promise<number>,
): Promise<number> {
  const { upstreamTools } = cli.parts;
  if (upstreamTools === undefined) throw new CountersignError("USAGE", "no upstreams in this build");
  return upstreamTools.use(settings, async (live) => {
    if (alias !== undefined && !live.aliases.includes(alias)) {
      throw new CountersignError("USAGE", `no upstream "${neutralLine(alias)}"`, {
        hint:
          live.aliases.length === 0
            ? "register one under upstreams: in countersign.yaml; see docs/upstream.md"
            : `registered: ${live.aliases.join(", ")}`,
      });
    }
    return work(live);
  });
}
