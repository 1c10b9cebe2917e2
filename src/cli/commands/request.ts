import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { JsonObject } from "../../base/canonical-json.ts";
import { parseDuration } from "../../base/duration.ts";
import { neutralLine } from "../../base/text.ts";
import type { Caller } from "../../request/principal.ts";
import { askAndWait, askInHome, type Asking, type Call } from "../ask-action.ts";
import { askOverHttp } from "../ask-over-http.ts";
import { flagsOf, type Cli } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";

interface RequestFlags {
  readonly args?: string;
  readonly argsFile?: string;
  readonly justification?: string;
  readonly callId?: string;
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly json?: boolean;
  readonly url?: string;
  readonly tokenFile?: string;
  readonly agent?: string;
  readonly principal?: string;
}

const CALL_ID = /^[\x21-\x7e]{1,255}$/;

export const addRequest: AddCommand = (parent, cli, run) => {
  parent
    .command("request")
    .description("ask for an action from a job or script, and wait for what becomes of it")
    .argument("<tool>", "the tool, such as deploy_service")
    .option("--args <json>", "its arguments as a JSON object; - for standard input")
    .option("--args-file <file>", "the same from a file; - for standard input")
    .option("--justification <words>", "why, for the people who decide")
    .option("--call-id <id>", "your id of this call: sent again, nothing runs twice")
    .option("--wait", "wait until it has ended, or for --timeout")
    .option("--timeout <duration>", "how long to wait", "30m")
    .option("--json", "print the outcome as JSON")
    .option("--url <url>", "ask this gateway over HTTP (COUNTERSIGN_API_URL)")
    .option("--token-file <file>", "a file with its token (COUNTERSIGN_API_TOKEN)")
    .option("--agent <agent>", "without a token: which agent of the policy asks")
    .option("--principal <id>", "without a token: for whom, if not this OS account")
    .addHelpText(
      "after",
      `
With a token it asks the running gateway over HTTP, as the principal and agent
of the token (countersign token new --scope requests:write). Without one it
opens the home, as this OS account and --agent.

Exit codes: 0 done, 3 pending, 4 refused, 5 denied by a person, 6 expired,
7 failed, 8 unknown, 9 stale or withdrawn; 1 and 2 are errors of the command.
Ctrl-C only detaches (130): the request goes on, and the same --call-id comes
back to it.

Example:
  $ countersign request deploy_service --args '{"service":"web","ref":"v42"}' \\
      --justification "release 42" --call-id "$BUILD_TAG" --wait`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<RequestFlags>(command);
        const tool = String(command.processedArgs[0]);
        const call = await callOf(cli, tool, flags);
        const timeoutMs = parseDuration(flags.timeout ?? "30m");
        if (timeoutMs === undefined) throw usage("--timeout is a duration such as 40s, 30m or 1h30m");
        const asking = await wayTo(cli, flags);
        try {
          return await askAndWait(cli, asking, call, {
            wait: flags.wait === true,
            timeoutMs,
            json: flags.json === true,
            comeBack: comeBack(flags, call),
          });
        } finally {
          await asking.close();
        }
      }),
    );
};

async function callOf(cli: Cli, tool: string, flags: RequestFlags): Promise<Call> {
  const callId = flags.callId ?? `cli-${randomUUID()}`;
  if (!CALL_ID.test(callId)) throw usage("--call-id is 1 to 255 visible ASCII characters, without spaces");
  if (flags.args !== undefined && flags.argsFile !== undefined)
    throw usage("say one of --args and --args-file");
  const text = await argsText(cli, flags);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw usage("the arguments are not JSON", `such as --args '{"service":"web","ref":"main"}'`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw usage("the arguments are a JSON object", `such as --args '{"service":"web","ref":"main"}'`);
  return { tool, arguments: value as JsonObject, justification: flags.justification ?? null, callId };
}

async function argsText(cli: Cli, { args, argsFile }: RequestFlags): Promise<string> {
  if (args === "-" || argsFile === "-") return readAll(cli.parts.streams.stdin);
  if (argsFile === undefined) return args ?? "{}";
  return readFile(argsFile, "utf8").catch(() => {
    throw usage(`${neutralLine(argsFile)} cannot be read`, "name a file that holds the arguments as JSON");
  });
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) text += String(chunk);
  return text;
}

/** The token says who asks over HTTP; without one it is this account, which has to be able to open the home. */
async function wayTo(cli: Cli, flags: RequestFlags): Promise<Asking> {
  const { env, account } = cli.parts.around;
  const url = flags.url ?? (env["COUNTERSIGN_API_URL"] || undefined);
  const token = await tokenOf(flags.tokenFile, env["COUNTERSIGN_API_TOKEN"]);
  if (token !== null) {
    const at = url ?? (await runningUrl(cli, flags));
    return askOverHttp({ url: trusted(at), token }, cli.parts.interrupted);
  }
  if (url !== undefined) {
    throw usage(
      "a gateway over HTTP takes a token, and none was given",
      "--token-file FILE or COUNTERSIGN_API_TOKEN; make one: countersign token new --scope requests:write",
    );
  }
  const settings = await cli.settings(flags, { exists: true });
  const { principal, agent } = settings.stdio;
  const caller: Caller = {
    principal: principal === null ? { kind: "os", account } : { kind: "named", id: principal },
    agent,
    transport: "cli",
    client: null,
  };
  // A job reads what became of its request; what the gate says of its own work is for the gateway's log.
  const home = await cli.parts.openHome({ ...settings, logLevel: "warn" });
  return askInHome(home, caller, cli.parts.interrupted);
}

async function runningUrl(cli: Cli, flags: RequestFlags): Promise<string> {
  const running = await cli.parts.gatewayOf(await cli.settings(flags, { exists: true }));
  if (running !== null) return running.api;
  throw usage("no gateway serves this home, and no --url was given", "start it: countersign start");
}

async function tokenOf(file: string | undefined, given: string | undefined): Promise<string | null> {
  if (file === undefined) return given === undefined || given === "" ? null : given.trim();
  const text = await readFile(file, "utf8").catch(() => {
    throw usage(`${neutralLine(file)} cannot be read`, "name a file that holds a token of the API");
  });
  return text.trim();
}

/** A token travels in the clear to this machine only. */
function trusted(text: string): string {
  if (!URL.canParse(text) || !/^https?:/i.test(text))
    throw usage(`${neutralLine(text)} is no address`, "such as http://localhost:7332");
  const url = new URL(text);
  const isHere = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url.protocol === "http:" && !isHere)
    throw usage(`a token would travel in the clear to ${neutralLine(url.host)}`, "use https://");
  // The listener answers to the name, not the address.
  return url.protocol === "http:" ? `http://localhost:${url.port || "80"}` : url.origin;
}

/** The words that come back: the same call with the same id. */
function comeBack(flags: RequestFlags, call: Call): string {
  const quote = (text: string): string =>
    /^[\w./:@=-]+$/.test(text) ? text : `'${neutralLine(text).replaceAll("'", "'\\''")}'`;
  const words = ["countersign", "request", quote(call.tool)];
  if (flags.args === "-" || flags.argsFile === "-") words.push("--args", "-");
  else if (flags.args !== undefined) words.push("--args", quote(flags.args));
  else if (flags.argsFile !== undefined) words.push("--args-file", quote(flags.argsFile));
  for (const [flag, value] of [
    ["--url", flags.url],
    ["--token-file", flags.tokenFile],
    ["--agent", flags.agent],
    ["--principal", flags.principal],
  ] as const)
    if (value !== undefined) words.push(flag, quote(value));
  return [...words, "--call-id", quote(call.callId), "--wait"].join(" ");
}
