import { parsePage } from "./markup.ts";
import { complain } from "./sheets.ts";

// Keeps a page true without a reload: an event says that something happened, the page fetches a newer copy of itself and
// takes over the regions that differ. Evidence is no such region: what a person reads before deciding never moves.

const EVENTS = "/api/v1/events";
/** Says that nobody pressed anything: an open page keeps no session from ending. */
const BY_ITSELF: RequestInit = { credentials: "same-origin", headers: { "x-countersign-live": "1" } };
/** While no event comes through, the page asks this often. */
const ASKS_EVERY_MS = 15_000;

export interface LiveHooks {
  /** After regions were taken over. */
  updated(regions: readonly Element[]): void;
}

/** Follows the gateway's events for as long as the page is open. */
export function followEvents(hooks: LiveHooks): void {
  const follows = document.documentElement.dataset["follows"];
  if (document.querySelector('meta[name="csrf"]') === null) return;
  const refresh = createRefresh(hooks);
  const isOurs = (kind: string, data: string): boolean => {
    // Any request may change how many wait for the reader; what a request page shows follows its own request.
    if (kind !== "request" || follows === undefined || follows === "all" || !follows.startsWith("req_")) {
      return follows === "all" || follows === kind || kind === "request";
    }
    return (JSON.parse(data) as { id?: string }).id === follows;
  };
  document.addEventListener("look-again", refresh);
  let wasLost = false;
  const source = new EventSource(EVENTS);
  for (const kind of ["request", "policy", "people"]) {
    source.addEventListener(kind, (event: MessageEvent<string>) => {
      if (isOurs(kind, event.data)) refresh();
    });
  }
  source.addEventListener("hello", (event: MessageEvent<string>) => {
    // What happened after this page was made and before anybody listened.
    const { size } = JSON.parse(event.data) as { readonly size?: number };
    if (size !== Number(document.documentElement.dataset["size"])) refresh();
  });
  setInterval(() => {
    if (wasLost && !document.hidden) refresh();
  }, ASKS_EVERY_MS);
  source.addEventListener("open", () => {
    show("on", "Live");
    // What happened while nobody listened.
    if (wasLost) refresh();
    wasLost = false;
  });
  source.addEventListener("error", () => {
    wasLost = true;
    if (source.readyState === EventSource.CLOSED) {
      show("off", "Not live: reload");
      setTimeout(() => void checkSession(), 1_000);
    } else show("lost", "Reconnecting…");
  });
}

/** A closed stream most often means that the session ended. */
async function checkSession(): Promise<void> {
  const response = await fetch(location.href, BY_ITSELF).catch(() => null);
  if (response?.redirected === true) location.reload();
}

function show(state: "on" | "off" | "lost", words: string): void {
  const live = document.querySelector<HTMLElement>("[data-live-state]");
  if (live === null) return;
  live.dataset["liveState"] = state;
  const text = live.querySelector(".live-words");
  if (text !== null) text.textContent = words;
}

/** At most one copy is on its way; what comes meanwhile makes one more. */
export function createRefresh(hooks: LiveHooks): () => void {
  const served = new Map<string, string>();
  for (const region of regionsOf(document)) served.set(region.id, region.outerHTML);
  let isRunning = false;
  let isWanted = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    while (isWanted) {
      isWanted = false;
      const response = await fetch(location.href, BY_ITSELF).catch(() => null);
      if (response === null) break;
      if (response.redirected) {
        location.reload();
        return;
      }
      if (response.ok) hooks.updated(takeOver(parsePage(await response.text()), served));
    }
    isRunning = false;
  };
  return () => {
    isWanted = true;
    if (!isRunning) void run();
  };
}

const regionsOf = (root: ParentNode): readonly HTMLElement[] => [
  ...root.querySelectorAll<HTMLElement>("[data-live]"),
];

/** Compares with what the server last sent, not with what stands: the reader's own zone and typing are no difference. */
function takeOver(newer: Document, served: Map<string, string>): readonly Element[] {
  const changed: Element[] = [];
  for (const region of regionsOf(newer)) {
    const html = region.outerHTML;
    if (served.get(region.id) === html) continue;
    served.set(region.id, html);
    const old = document.getElementById(region.id);
    if (old === null) continue;
    const fresh = document.adoptNode(region);
    markNewRows(old, fresh);
    const restore = remember(old);
    old.replaceWith(fresh);
    restore(fresh);
    holdMoved(old, fresh);
    changed.push(fresh);
  }
  if (changed.length > 0) document.title = newer.title;
  return changed;
}

/** So long a button rests whose meaning has just changed under the reader's hand. */
const REST_MS = 4_000;

/** Another proposal than the one that was being read can't be signed by a press that was meant for that one. */
function holdMoved(old: Element, fresh: Element): void {
  const meaning = (root: Element): string =>
    JSON.stringify({ ...root.querySelector<HTMLElement>("form[data-revision]")?.dataset });
  const form = fresh.querySelector<HTMLFormElement>("form[data-revision]");
  if (form === null || old.querySelector("form[data-revision]") === null || meaning(old) === meaning(fresh))
    return;
  const button = form.querySelector<HTMLButtonElement>("[data-submit]");
  if (button === null) return;
  complain(form, "The files changed while you looked. Read the difference again.");
  button.disabled = true;
  setTimeout(() => (button.disabled = false), REST_MS);
}

function markNewRows(old: Element, fresh: Element): void {
  const before = new Set([...old.querySelectorAll("[data-key]")].map((row) => row.getAttribute("data-key")));
  if (before.size === 0) return;
  for (const row of fresh.querySelectorAll("[data-key]")) {
    if (!before.has(row.getAttribute("data-key"))) row.classList.add("fresh");
  }
}

/** Focus, open folds and typed words outlive a take-over. */
function remember(old: Element): (fresh: Element) => void {
  const active = document.activeElement;
  const focus = active !== null && old.contains(active) ? pathTo(old, active) : null;
  const folds = [...old.querySelectorAll<HTMLDetailsElement>("details[id]")].filter((fold) => fold.open);
  const fields = [
    ...old.querySelectorAll<HTMLInputElement | HTMLTextAreaElement>("textarea[name], input[name]"),
  ]
    .filter((field) => field.type !== "hidden")
    .map((field) => ({
      name: field.name,
      choice: field.value,
      value: field.value,
      checked: "checked" in field && field.checked,
      isChoice: field.type === "radio" || field.type === "checkbox",
      form: field.form?.dataset["action"] ?? "",
    }));
  const sheets = [...old.querySelectorAll<HTMLDialogElement>("dialog[open]")].map((sheet) => sheet.id);
  return (fresh) => {
    for (const fold of folds) fresh.querySelector(`#${CSS.escape(fold.id)}`)?.setAttribute("open", "");
    for (const field of fields) {
      for (const form of fresh.querySelectorAll<HTMLFormElement>("form[data-action]")) {
        if (form.dataset["action"] !== field.form) continue;
        for (const twin of form.querySelectorAll<HTMLInputElement>(`[name="${CSS.escape(field.name)}"]`)) {
          if (!field.isChoice) twin.value = field.value;
          else if (twin.value === field.choice) twin.checked = field.checked;
        }
      }
    }
    for (const id of sheets) fresh.querySelector<HTMLDialogElement>(`dialog#${CSS.escape(id)}`)?.showModal();
    if (focus !== null) fresh.querySelector<HTMLElement>(focus)?.focus();
  };
}

/** Where the focus stood, by what outlives a newer copy: the row's key, the button's purpose, the field's name. */
function pathTo(root: Element, element: Element): string | null {
  const row = element.closest("[data-key]");
  if (row !== null && root.contains(row)) {
    return `[data-key="${CSS.escape(row.getAttribute("data-key") ?? "")}"] a`;
  }
  for (const name of ["data-open", "data-action", "name", "href"]) {
    const value = element.getAttribute(name);
    if (value !== null) return `${element.tagName.toLowerCase()}[${name}="${CSS.escape(value)}"]`;
  }
  return null;
}
