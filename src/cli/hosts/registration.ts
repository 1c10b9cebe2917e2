import type { JsonObject } from "../../base/canonical-json.ts";
import { CountersignError } from "../../errors.ts";
import { changeFile, openFile, type Waits } from "./change-file.ts";
import type { Disk } from "./disk.ts";
import { dropEntry, putEntry, type Edit, type EditedConfig } from "./edit-config.ts";
import type { Host, Scope } from "./host.ts";
import { startsUs } from "./launch.ts";
import { describeEntry, renderChange, withoutSecrets } from "./render-change.ts";
import { placeOf } from "./scan-config.ts";

// Puts us into a host's file, or takes us out: one key, decided upon what stands there at that moment.

export interface Registration {
  readonly host: Host;
  readonly scope: Scope;
  /** The host's file, as people name it. */
  readonly file: string;
  /** The project whose own file that is, which links must not lead out of; null: a file of the user, or a named one. */
  readonly within: string | null;
  readonly name: string;
  /** Whatever stands under the name may go. */
  readonly force: boolean;
  /** Nothing is written. */
  readonly dryRun: boolean;
}

export type Registered = "added" | "replaced" | "removed" | "unchanged";

export interface RegistrationOutcome {
  readonly action: Registered;
  /** The file that was, or would be, written: where a link leads to. */
  readonly path: string;
  readonly diff: readonly string[];
  /** Copy of what was there before; null: nothing was there, or nothing was written. */
  readonly backup: string | null;
  readonly notes: readonly string[];
}

export interface RegistrationParts {
  readonly disk: Disk;
  readonly waits: Waits;
}

/** @throws CountersignError `HOST_ENTRY_TAKEN`, `HOST_CONFIG_INVALID`, `HOST_CONFIG_REFUSED` */
export const register = (
  parts: RegistrationParts,
  registration: Registration,
  entry: JsonObject,
): Promise<RegistrationOutcome> =>
  change(parts, registration, (text, { file, host, name, force }) => {
    const edited = putEntry(text ?? "", { file, section: host.section, name }, entry);
    const isTaken = edited.before !== undefined && edited.edits.length > 0;
    if (isTaken && !force) throw taken(registration, edited.before, "replace it with");
    return edited;
  });

/** @throws CountersignError `HOST_ENTRY_TAKEN` where the entry does not start us, and as {@link register} */
export const unregister = (
  parts: RegistrationParts,
  registration: Registration,
): Promise<RegistrationOutcome> =>
  change(parts, registration, (text, { file, host, name, force }) => {
    const edited = dropEntry(text ?? "", { file, section: host.section, name });
    const isForeign = edited.edits.length > 0 && !startsUs(edited.before);
    if (isForeign && !force) throw taken(registration, edited.before, "take it out with");
    return edited;
  });

async function change(
  { disk, waits }: RegistrationParts,
  registration: Registration,
  edit: (text: string | null, registration: Registration) => EditedConfig,
): Promise<RegistrationOutcome> {
  const { host, scope, file, within, dryRun } = registration;
  const seen: { text: string | null; path: string; edited: EditedConfig }[] = [];
  const changed = (opened: { readonly path: string; readonly text: string | null }): string | null => {
    const edited = edit(opened.text, registration);
    seen.push({ text: opened.text, path: opened.path, edited });
    return edited.edits.length === 0 ? null : edited.text;
  };
  let backup: string | null = null;
  if (dryRun) changed(await openFile(disk, file, within));
  else {
    // A project's file is the project's, and shared; a user's may hold tokens of other servers.
    const newFileMode = scope === "project" ? 0o644 : 0o600;
    ({ backup } = await changeFile(
      disk,
      file,
      { waits, makeParent: scope === "project", newFileMode, within },
      changed,
    ));
  }
  const last = seen.at(-1);
  if (last === undefined) throw new Error("a change was decided upon no file");
  const { text, path, edited } = last;
  const isForeign = edited.before !== undefined && !startsUs(edited.before);
  const shown = isForeign ? withoutSecrets(edited.edits, registration.name, edited.before) : edited.edits;
  return {
    action: actionOf(edited.edits, edited.before),
    path,
    diff: edited.edits.length === 0 ? [] : renderChange(file, text, shown),
    backup,
    notes: notesOf(host, file, text, edited),
  };
}

function actionOf(edits: readonly Edit[], before: unknown): Registered {
  if (edits.length === 0) return "unchanged";
  if (before === undefined) return "added";
  return edits.some(({ inserted }) => inserted !== "") ? "replaced" : "removed";
}

function notesOf(
  host: Host,
  file: string,
  text: string | null,
  { scanned }: EditedConfig,
): readonly string[] {
  if (host.readsComments || scanned.beyondJson === null || text === null) return [];
  const { line, column } = placeOf(text.replace(/^\uFEFF/, ""), scanned.beyondJson);
  return [
    `${file}:${line}:${column} is a comment or a comma that plain JSON does not have; ${host.name} may not read the file`,
  ];
}

const taken = ({ host, name, file }: Registration, before: unknown, words: string): CountersignError =>
  new CountersignError("HOST_ENTRY_TAKEN", `${host.name} has another server named ${name}, in ${file}`, {
    hint: `it is ${JSON.stringify(describeEntry(before))}\n${words} --force, or choose another name: --name NAME`,
    details: { before: describeEntry(before) },
  });
