import { posix, win32 } from "node:path";
import type { JsonObject } from "../../base/canonical-json.ts";
import { CountersignError } from "../../errors.ts";
import type { Disk } from "./disk.ts";
import type { Host, Scope } from "./host.ts";

// How a host starts us. A host that was started from a desktop has a short PATH of its own and any working directory,
// so everything here is absolute, and nothing is a script of the shell.

/** What the server serves: a home of this account, or a gateway elsewhere. */
export type Served =
  | { readonly kind: "home"; readonly home: string; readonly agent: string }
  | {
      readonly kind: "gateway";
      readonly url: string;
      /** File that holds the bearer token; null: the host's environment does. */
      readonly tokenFile: string | null;
    };

export interface Launch {
  /** Node and our program, both absolute. */
  readonly command: string;
  readonly program: string;
  /** What will not last. */
  readonly notes: readonly string[];
}

/** Where installers put the name of a Node that they update in place. */
const LASTING_NODES: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  darwin: ["/opt/homebrew/bin/node", "/usr/local/bin/node", "/opt/local/bin/node"],
  linux: ["/usr/local/bin/node", "/usr/bin/node", "/home/linuxbrew/.linuxbrew/bin/node"],
};

/**
 * The command that starts this program again, by names that outlive an update where there are such.
 * @param self Node and our program, as they run now
 * @throws CountersignError `USAGE` where it runs from its source
 */
export async function launchOf(
  self: readonly string[],
  platform: NodeJS.Platform,
  disk: Pick<Disk, "target">,
): Promise<Launch> {
  const [node = "", program = ""] = self;
  if (program.endsWith(".ts")) {
    throw new CountersignError("USAGE", "a host can't start countersign from its source", {
      hint: "npm run bundle, then: node dist/countersign.js install",
    });
  }
  let command = node;
  for (const lasting of LASTING_NODES[platform] ?? []) {
    // The same file by a name without a version in it: Homebrew's own path goes away with the next update.
    if ((await disk.target(lasting).catch(() => "")) === node) {
      command = lasting;
      break;
    }
  }
  const notes = /[\\/]_npx[\\/]/.test(program)
    ? [
        `${program} lies in the cache of npx, which npm may clear: npm install --global countersign, then install again`,
      ]
    : [];
  return { command, program, notes };
}

/** The entry of one host's file. */
export function serverEntry(host: Host, launch: Launch, served: Served): JsonObject {
  const args = [launch.program, "mcp"];
  let env: JsonObject | null = null;
  if (served.kind === "home") args.push("--home", served.home, "--agent", served.agent);
  else {
    args.push("--url", served.url);
    if (served.tokenFile !== null) args.push("--token-file", served.tokenFile);
    else env = { COUNTERSIGN_TOKEN: reference(host) };
  }
  for (const word of [launch.command, ...args]) demandPlain(host, word);
  return {
    ...(host.id === "claude-code" || host.id === "vscode" ? { type: "stdio" } : {}),
    command: launch.command,
    args,
    ...(env === null ? {} : { env }),
    // Milliseconds. Without it a call that waits for people is given up on.
    ...(host.id === "claude-code" ? { timeout: 3_600_000 } : {}),
  };
}

function reference(host: Host): string {
  if (host.reference !== null) return host.reference("COUNTERSIGN_TOKEN");
  throw new CountersignError(
    "USAGE",
    `${host.name} reads no variables in its file, and a token never stands in it`,
    {
      hint: "put the token into a file that only you can read: --token-file FILE",
    },
  );
}

/** A path that the host would read as something else is a path to somewhere else. */
function demandPlain(host: Host, word: string): void {
  if (host.reference === null || !word.includes("${")) return;
  throw new CountersignError("USAGE", `${host.name} would replace \${…} in ${word}`, {
    hint: "move it to a path without ${",
  });
}

/** Whether an entry starts us: then it is ours to take away. */
export function startsUs(entry: unknown): boolean {
  const { command, args } = (entry ?? {}) as { readonly command?: unknown; readonly args?: unknown };
  if (typeof command !== "string" || !Array.isArray(args) || !args.includes("mcp")) return false;
  const words = [command, ...args.slice(0, args.indexOf("mcp"))].filter((word) => typeof word === "string");
  return words.some((word) => /^countersign(?:\.js|\.cmd|\.exe)?$/.test(nameOf(word)));
}

const nameOf = (path: string): string => posix.basename(win32.basename(path));

/** The same registration by other ways than the file. */
export function alternatives(
  host: Host,
  name: string,
  entry: JsonObject,
  on: { readonly platform: NodeJS.Platform; readonly scope: Scope },
): readonly string[] {
  switch (host.id) {
    case "cursor": {
      const config = encodeURIComponent(Buffer.from(JSON.stringify(entry)).toString("base64"));
      return [
        `cursor://anysphere.cursor-deeplink/mcp/install?name=${encodeURIComponent(name)}&config=${config}`,
      ];
    }
    case "vscode":
      return [`code --add-mcp ${quoted(JSON.stringify({ name, ...entry }), on.platform)}`];
    case "claude-code":
      return [
        `claude mcp add-json ${name} --scope ${on.scope} ${quoted(JSON.stringify(entry), on.platform)}`,
      ];
    case "claude-desktop":
      return [];
  }
}

/** One word for a shell: POSIX, or what programs on Windows make of their command line. */
const quoted = (text: string, platform: NodeJS.Platform): string =>
  platform === "win32"
    ? `"${text.replaceAll(/(\\*)"/g, '$1$1\\"')}"`
    : `'${text.replaceAll("'", String.raw`'\''`)}'`;
