import { call, problemWords } from "./call.ts";
import { handIn, signingWords, textOf } from "./decide.ts";
import { complain, openSheet, toast } from "./sheets.ts";
import type { Draft } from "./verify.ts";

/** Signs in with a passkey and goes on to where the person wanted to be. */
export async function signIn(form: HTMLFormElement): Promise<void> {
  try {
    const passkey = await import("./passkey.ts");
    await passkey.signIn();
  } catch (error) {
    return complain(
      form,
      error instanceof Error && error.name === "Error" ? error.message : signingWords(error),
    );
  }
  location.assign(form.dataset["to"] ?? "/");
}

/** Makes a passkey: by a one-time code, or beside one that the signed-in person has. */
export async function enrol(form: HTMLFormElement): Promise<void> {
  const fields = new FormData(form);
  const code = textOf(fields, "code");
  const label = textOf(fields, "label") ?? "passkey";
  try {
    const passkey = await import("./passkey.ts");
    await passkey.enrol(code, label);
  } catch (error) {
    return complain(
      form,
      error instanceof Error && error.name === "Error" ? error.message : signingWords(error),
    );
  }
  if (code !== null) location.assign("/");
  else {
    form.reset();
    toast("The passkey is yours. It cools down before it counts for A3.");
  }
}

interface CredentialDraft {
  readonly statement: {
    readonly action?: string;
    readonly person?: string;
    readonly credential?: string | null;
  };
  readonly sign: Draft["sign"];
}

/** Whether the person's own passkey signs, or the session speaks: as the page's own forms say. */
const how = (): string =>
  document.querySelector("#own-passkeys .keys-list") === null ? "session" : "passkey";

/** Invites a person to enrol; the code is shown once. */
export async function invite(person: string): Promise<void> {
  if (how() === "session") {
    return toast(
      `An invitation is signed with a passkey, and you have none. In a terminal: countersign people invite ${person}`,
    );
  }
  const form = carrier();
  const drafted = await call<CredentialDraft>(
    "GET",
    `/people/${encodeURIComponent(person)}/credential-draft?action=invite`,
  );
  if (!drafted.ok) return toast(problemWords(drafted.problem));
  const { statement } = drafted.value;
  if (statement.action !== "invite" || statement.person !== person)
    return toast("The statement names somebody else. Nothing was signed.");
  const answer = await handIn<{ state: string; code?: string; url?: string; expiresAt?: string | number }>(
    form,
    `/people/${encodeURIComponent(person)}/invitations`,
    drafted.value,
    how(),
  );
  if (answer === null) return toast(form.textContent ?? "");
  const place = (name: string): Element | null => document.querySelector(`[data-invitation-${name}]`);
  const words =
    answer.code === undefined
      ? `Signed. Others have to sign too before ${person} is invited.`
      : `${person} may enrol a passkey with this code${answer.expiresAt === undefined ? "" : ` until ${new Date(answer.expiresAt).toLocaleString()}`}.`;
  for (const [name, text] of [
    ["words", words],
    ["code", answer.code ?? ""],
    ["url", answer.url ?? ""],
  ] as const) {
    const element = place(name);
    if (element !== null) element.textContent = text;
  }
  openSheet("invitation");
}

/** Removes a passkey: failing safe is cheap, so one question and one signature do. */
export async function removePasskey(button: HTMLElement): Promise<void> {
  const { id = "", person = "" } = button.dataset;
  if (button.dataset["sure"] === undefined) {
    button.dataset["sure"] = "";
    button.textContent = "Really remove?";
    return;
  }
  const form = carrier();
  const query = new URLSearchParams({ action: "remove", credential: id });
  const drafted = await call<CredentialDraft>(
    "GET",
    `/people/${encodeURIComponent(person)}/credential-draft?${query.toString()}`,
  );
  if (!drafted.ok) return toast(problemWords(drafted.problem));
  const { statement } = drafted.value;
  if (statement.action !== "remove" || statement.credential !== id)
    return toast("The statement names another passkey. Nothing was signed.");
  const answer = await handIn(form, `/credentials/${encodeURIComponent(id)}/removal`, drafted.value, how());
  toast(answer === null ? (form.textContent ?? "") : "Removed. It counts for nothing any more.");
}

export async function endSession(id: string): Promise<void> {
  const answer = await call("DELETE", `/sessions/${encodeURIComponent(id)}`);
  if (answer.ok) location.reload();
  else toast(problemWords(answer.problem));
}

export async function signOut(): Promise<void> {
  const answer = await call("DELETE", "/session");
  if (answer.ok || answer.problem.status === 401) location.assign("/sign-in");
  else toast(problemWords(answer.problem));
}

/** A form that is nowhere: where `handIn` leaves its words when there is no sheet. */
function carrier(): HTMLFormElement {
  const form = document.createElement("form");
  const error = document.createElement("p");
  error.className = "sheet-error";
  form.append(error);
  return form;
}
