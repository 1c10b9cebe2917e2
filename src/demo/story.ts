import { mkdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Paint } from "../base/terminal.ts";
import { neutralise } from "../base/text.ts";
import { localZone } from "../cli/moment.ts";
import { offersApproval, renderQuestion } from "../cli/render-question.ts";
import type { LogTools } from "../cli/parts.ts";
import type { OpenedHome } from "../compose.ts";
import type { OpenQuestion } from "../consent/desk.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../consent/statement.ts";
import { keepSteward } from "../serve/keep-steward.ts";
import { prepareDemo, type ServeParts } from "../serve/serve.ts";
import { connectAgent } from "../transport/mcp/agent-client.ts";
import { DEMO } from "./names.ts";
import { commitNextVersion, type DemoWorkspace } from "./workspace.ts";

// The whole job in one terminal: an agent asks through a real MCP client, the gateway holds, a person sees the
// evidence and signs, exactly that runs, the log proves it. Two processes share the home: the gateway that the
// client spawned, and this one, where the person sits.

export interface StoryParts extends ServeParts {
  /** Signs without asking, as the demo approver, and says so. */
  readonly auto: boolean;
  readonly width: number;
  readonly paint: Paint;
  /** Null where input ended. */
  readonly ask: (question: string) => Promise<string | null>;
  readonly logTools: LogTools;
}

export async function playDemo(parts: StoryParts): Promise<number> {
  const { say, paint } = parts;
  let step = 0;
  const scene = (text: string): void => {
    step += 1;
    say("");
    say(paint.bold(`${step}. ${text}`));
  };

  scene("A throwaway home: a git repository, a directory of releases, an approver with a key");
  const workspace = await prepareDemo(parts, { mcp: "127.0.0.1:0", api: "localhost:0" });
  const settings = await parts.settingsOf(workspace.home);
  say(paint.dim(`   ${workspace.home}`));
  const home = await parts.openHome(settings);
  const stopSteward = keepSteward(home);
  const [command = "", ...args] = parts.self;
  const agent = await connectAgent({
    command,
    args: [...args, "mcp", "--home", workspace.home],
    version: parts.version,
  });
  try {
    scene(
      `The first release, so that there is something to change: ${DEMO.agent} asks, the demo approver signs`,
    );
    const first = await ask(parts, home, agent, workspace, "The shop has to go online.", {
      auto: true,
      show: false,
    });
    if (first === null) return 1;

    const commit = await commitNextVersion(workspace.repository, parts.around);
    scene(`A developer commits a change (${commit.slice(0, 12)}) and ${DEMO.agent} wants it live`);
    say(paint.dim(`   tools/call deploy_service { service: "${DEMO.service}", ref: "main" } over MCP`));
    const outcome = await ask(parts, home, agent, workspace, "The winter sale starts today.", {
      auto: parts.auto,
      show: true,
    });
    if (outcome === null) return 1;

    scene("What is live now");
    const current = await readlink(join(workspace.releases, "current"));
    say(`   current -> ${current}`);
    const page = await readFile(join(workspace.releases, "current", "index.html"), "utf8");
    say(`   ${(/<p>.*<\/p>/.exec(page) ?? [""])[0]}`);

    scene("The log proves it, to anyone, offline");
    return (await prove(parts, home, workspace, outcome)) ? 0 : 1;
  } finally {
    await agent.close();
    stopSteward();
    await home.close();
  }
}

/** One call of the agent, from asking to outcome; the request's id, or null where it did not run. */
async function ask(
  parts: StoryParts,
  home: OpenedHome,
  agent: Awaited<ReturnType<typeof connectAgent>>,
  workspace: DemoWorkspace,
  justification: string,
  { auto, show }: { readonly auto: boolean; readonly show: boolean },
): Promise<string | null> {
  const { say, paint } = parts;
  const before = new Set(home.desk.pending().map((item) => item.request));
  const call = agent.call(
    "deploy_service",
    { service: DEMO.service, ref: "main", justification },
    (message) => say(paint.dim(`   agent hears: ${neutralise(message, { lines: false }).text}`)),
  );
  // An answer before any question is a refusal: nobody will be asked.
  const request = await Promise.race([waitForQuestion(home, before), call.then(() => null)]);
  if (request === null) {
    say(`   ${neutralise((await call).text).text}`);
    return null;
  }
  const open = await home.desk.open(request);
  say(`   held: ${neutralise(open.view.effectLine, { lines: false }).text} · code ${open.code}`);
  const decided = await decide(parts, home, workspace, open, { auto, show });
  const answer = await call;
  say("");
  for (const line of neutralise(answer.text).text.split("\n")) say(paint.cyan(`   agent gets: ${line}`));
  return decided === "approve" && !answer.isError ? request : null;
}

function waitForQuestion(home: OpenedHome, before: ReadonlySet<string>): Promise<OpenQuestion["request"]> {
  return new Promise((resolve) => {
    const look = (): void => {
      const fresh = home.desk.pending().find((item) => !before.has(item.request));
      if (fresh === undefined) return;
      stop();
      resolve(fresh.request);
    };
    const stop = home.store.follow(look);
    look();
  });
}

async function decide(
  parts: StoryParts,
  home: OpenedHome,
  workspace: DemoWorkspace,
  open: OpenQuestion,
  { auto, show }: { readonly auto: boolean; readonly show: boolean },
): Promise<Statement["decision"]> {
  const { say, paint } = parts;
  if (show) {
    const { text } = renderQuestion(open, {
      width: parts.width,
      paint,
      now: parts.now(),
      zone: localZone(),
      reader: { person: DEMO.person },
    });
    say("");
    for (const line of text.split("\n")) say(line);
    say("");
  }
  let decision: Statement["decision"] = "approve";
  if (auto) say(paint.yellow("   signing as the demo approver, because nobody was asked to"));
  else if (!offersApproval(open)) decision = "deny";
  else
    decision =
      (await parts.ask("   Approve this, as the demo approver? [y/N] "))?.trim().toLowerCase() === "y"
        ? "approve"
        : "deny";
  const statement = await home.desk.draft(open.request, {
    decision,
    person: DEMO.person,
    reason: decision === "deny" ? "denied in the demo" : null,
    log: null,
  });
  const signature = workspace.approver.sign(statementBytes(statement), SSHSIG_NAMESPACE);
  const answered = await home.desk.decide(statement, {
    kind: "sshsig",
    signature,
    fingerprint: workspace.approver.fingerprint,
    channel: "cli",
  });
  say(
    answered.ok
      ? paint.green(`   ${decision} signed: ${answered.value.state}`)
      : `   ${answered.error.message}`,
  );
  return decision;
}

async function prove(
  parts: StoryParts,
  home: OpenedHome,
  workspace: DemoWorkspace,
  request: string,
): Promise<boolean> {
  const { say, paint, logTools } = parts;
  await home.store.catchUp();
  const history = await home.requests.history(request as OpenQuestion["request"]);
  for (const entry of history)
    say(paint.dim(`   #${String(entry.seq).padEnd(3)} ${entry.time}  ${entry.kind}`));
  const report = await logTools.verifyLog(join(home.settings.dataDir, "log"), {});
  say(
    report.ok
      ? paint.green(
          `   log verify: ok, ${report.entries} entries, root ${report.checkpoint?.root.slice(0, 23) ?? ""}…`,
        )
      : paint.red("   log verify: FAILED"),
  );
  const text = await logTools.buildReceipt(home, request as OpenQuestion["request"]);
  const file = join(workspace.home, "receipts", `${request}.json`);
  await mkdir(join(workspace.home, "receipts"), { recursive: true });
  await writeFile(file, text);
  const receipt = await logTools.verifyReceipt(text, {});
  say(
    receipt.ok
      ? paint.green("   receipt: ok, it verifies without this machine")
      : paint.red("   receipt: FAILED"),
  );
  say(paint.dim(`   ${file}`));
  say("");
  const self = parts.self.join(" ");
  say("   Look around:");
  say(`     ${self} --home ${workspace.home} log list`);
  say(`     ${self} --home ${workspace.home} show ${request}`);
  say(`     ${self} verify ${file}`);
  say(paint.dim(`   The home stays until you delete it: rm -r ${workspace.home}`));
  return report.ok && receipt.ok;
}
