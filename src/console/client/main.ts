import { adopt, ask, decide, settle, showChecks } from "./decide.ts";
import { followEvents } from "./live.ts";
import { endSession, enrol, invite, removePasskey, signIn, signOut } from "./people.ts";
import { complain, lookAgain, wireSheets } from "./sheets.ts";
import { wireShortcuts } from "./shortcuts.ts";
import { keepTime, localise } from "./time.ts";

// What makes the pages act. Reading works without it; everything here is behind a person's press.

const FORMS: Readonly<Record<string, (form: HTMLFormElement) => Promise<void>>> = {
  approve: (form) => decide(form, "approve"),
  deny: (form) => decide(form, "deny"),
  "take-back": (form) => decide(form, "take_back"),
  ask,
  settle,
  adopt,
  "sign-in": signIn,
  enrol,
  "add-passkey": enrol,
};

const BUTTONS: Readonly<Record<string, (button: HTMLElement) => Promise<void>>> = {
  "sign-out": signOut,
  "end-session": (button) => endSession(button.dataset["id"] ?? ""),
  invite: (button) => invite(button.dataset["person"] ?? ""),
  "remove-passkey": removePasskey,
};

/** Shows what needs script, in a page or in a region that was taken over. */
function enable(root: ParentNode): void {
  for (const element of root.querySelectorAll<HTMLElement>(".js-only")) element.hidden = false;
  localise(root);
}

async function submit(form: HTMLFormElement): Promise<void> {
  const act = FORMS[form.dataset["action"] ?? ""];
  const button = form.querySelector<HTMLButtonElement>("[data-submit]");
  if (act === undefined || button?.disabled === true || form.dataset["busy"] !== undefined) return;
  if (!form.reportValidity()) return;
  complain(form, "");
  form.dataset["busy"] = "";
  button?.setAttribute("aria-busy", "true");
  try {
    await act(form);
    // Also where no event comes through: whoever acted sees what came of it.
    lookAgain();
  } finally {
    delete form.dataset["busy"];
    button?.removeAttribute("aria-busy");
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.dataset["action"] === undefined) return;
  // The sheet stays open until the answer is there.
  event.preventDefault();
  void submit(form);
});

document.addEventListener("click", (event) => {
  const button =
    event.target instanceof Element ? event.target.closest<HTMLElement>("button[data-action]") : null;
  const act = BUTTONS[button?.dataset["action"] ?? ""];
  if (button !== null && act !== undefined) void act(button).then(lookAgain);
});

document.addEventListener("sheet-open", (event) => {
  if (event.target instanceof HTMLElement && event.target.id === "approve") void showChecks(event.target);
});

document.addEventListener(
  "toggle",
  (event) => {
    if (event.target instanceof HTMLDetailsElement && event.target.open) event.target.dataset["opened"] = "";
  },
  { capture: true },
);

// A code that came behind the #, where no server and no log sees it.
const code = document.querySelector<HTMLInputElement>('form[data-action="enrol"] input[name="code"]');
if (code !== null && code.value === "" && location.hash.length > 1) {
  code.value = decodeURIComponent(location.hash.slice(1));
  // Nor does a history keep it.
  history.replaceState(null, "", location.pathname);
}

for (const fold of document.querySelectorAll<HTMLDetailsElement>("details[open]"))
  fold.dataset["opened"] = "";
wireSheets();
wireShortcuts();
followEvents({
  updated(regions) {
    for (const region of regions) enable(region);
  },
});
enable(document);
keepTime();
document.documentElement.dataset["ready"] = "";
