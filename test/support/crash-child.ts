import { appendFileSync } from "node:fs";
import { join } from "node:path";
import type { Settings } from "../../src/config/settings.ts";
import { readSlowly, type NoteWorld } from "./note-tools.ts";
import { CALLER, noteTools, openHandle } from "./world.ts";

// A gateway process that dies by kill -9 where it is told to. What it did to the world is in `effects`, one line a run,
// written by the tool itself in the same breath as its effect.

const [json, mode, ticket] = process.argv.slice(2) as [string, string, string | undefined];
const { settings, dir } = JSON.parse(json) as { settings: Settings; dir: string };
const die = (): Promise<never> => {
  process.kill(process.pid, "SIGKILL");
  return new Promise(() => undefined);
};
const notes: NoteWorld = { dir, runs: [] };
if (mode === "before-effect") notes.before = die;
notes.after = () => {
  appendFileSync(join(dir, "effects"), "ran\n");
  if (mode === "after-effect") return die();
  return undefined;
};
const home = await openHandle(
  settings,
  notes,
  mode === "during-read" ? { tools: [...noteTools(notes), readSlowly(dir, die)] } : {},
);
if (mode === "during-read") {
  await home.gate.call(
    { tool: "read_slowly", arguments: { book: "log" }, caller: CALLER },
    { signal: new AbortController().signal, holdMs: 20_000 },
  );
}
// Dies after its n-th durable batch, the entries written and nobody told: `batch-3`.
const batch = /^batch-(\d+)$/.exec(mode)?.[1];
if (batch !== undefined) {
  let left = Number(batch);
  home.store.follow(() => {
    left -= 1;
    if (left <= 0) process.kill(process.pid, "SIGKILL");
  });
}
const attachment = { signal: new AbortController().signal, holdMs: 20_000 };
const reply =
  ticket === undefined
    ? await home.gate.call(
        { tool: "write_note", arguments: { book: "log", text: "crash" }, caller: CALLER },
        attachment,
      )
    : await home.gate.wait(ticket, CALLER, attachment);
process.stdout.write(`${JSON.stringify(reply)}\n`);
await home.close();
