import type { Statement } from "../../consent/statement.ts";
import { call, isOver, problemWords, type Answer, type Problem } from "./call.ts";
import { complain, lookAgain, toast } from "./sheets.ts";
import { checkDraft, checkPage, readEvidence, type Check, type Draft } from "./verify.ts";

// Deciding: draft, compare, prove, hand in. Nothing is proved before everything agreed.

/** A proof of a statement: by the person's passkey, or the gateway's word about the session. */
export async function prove(
  draft: Pick<Draft, "sign"> & { readonly statement: unknown },
  how: string,
): Promise<unknown> {
  if (how !== "passkey") return { kind: "session" };
  const { sign } = await import("./passkey.ts");
  return sign(draft);
}

const requestId = (): string =>
  document.querySelector<HTMLElement>("[data-request]")?.dataset["request"] ?? "";

/** Fills the sheet with what was compared; the button works only when all of it agrees. */
export async function showChecks(sheet: HTMLElement): Promise<void> {
  const list = sheet.querySelector("[data-checks]");
  const submit = sheet.querySelector<HTMLButtonElement>("[data-submit]");
  const evidence = readEvidence();
  if (list === null || submit === null) return;
  if (evidence === null) {
    complain(sheet, "This page is not about an open question any more. Reload it.");
    return;
  }
  const checks = await checkPage(evidence);
  list.replaceChildren(...checks.map(checkItem));
  submit.disabled = !checks.every((check) => check.ok);
  if (submit.disabled)
    complain(sheet, "Nothing can be signed here. Tell the operator; you can deny, or use a terminal.");
  showUnread(sheet);
}

function checkItem({ ok, words }: Check): HTMLElement {
  const item = document.createElement("li");
  item.className = ok ? "check-good" : "check-bad";
  item.textContent = words;
  return item;
}

/** Folds that were never opened: the person decides, but not without knowing. */
function showUnread(sheet: HTMLElement): void {
  const unread = [...document.querySelectorAll<HTMLDetailsElement>("details[data-evidence]")].filter(
    (fold) => !fold.open && fold.dataset["opened"] === undefined,
  );
  const note = sheet.querySelector<HTMLElement>("[data-unread]");
  if (note === null) return;
  note.hidden = unread.length === 0;
  const names = unread.map((fold) => fold.dataset["evidence"] ?? "");
  note.textContent = `Not opened on this page: ${names.join("; ")}`;
}

const DONE: Readonly<Record<string, string>> = {
  granted: "Approved. It runs now.",
  recorded: "Your approval is recorded. Others still have to answer.",
  not_counted: "Recorded, but it does not count.",
  denied: "Denied. The agent gets your words.",
  taken_back: "Taken back.",
};

/** One decision, from the sheet's form. */
export async function decide(form: HTMLFormElement, decision: Statement["decision"]): Promise<void> {
  const fields = new FormData(form);
  const reason = textOf(fields, "reason");
  const how = decision === "deny" ? "session" : (textOf(fields, "with") ?? "session");
  const isFixable = decision === "deny" && fields.get("class") === "fixable";
  const query = new URLSearchParams({ decision });
  if (reason !== null) query.set("reason", reason);
  if (isFixable) query.set("fixable", "true");
  const drafted = await call<Draft>("GET", `/requests/${requestId()}/draft?${query.toString()}`);
  if (!drafted.ok) return refused(form, drafted.problem);
  const draft = drafted.value;

  const evidence = readEvidence();
  // A deny is cheap on purpose: it counts also where the page can't show what it is about.
  if (evidence !== null || decision !== "deny") {
    const wrong =
      evidence === null
        ? "This page is not about an open question any more. Reload it."
        : await firstWrong(evidence, draft, { decision, reason });
    if (wrong !== null) return complain(form, `${wrong}. Nothing was signed.`);
  }
  if ((draft.statement.fixable === true) !== isFixable) {
    return complain(form, "The statement says something else than you chose. Nothing was signed.");
  }
  const handed = await handIn<{ state: string; code?: string }>(
    form,
    `/requests/${requestId()}/decisions`,
    draft,
    how,
  );
  if (handed === null) return;
  form.closest("dialog")?.close();
  toast(
    handed.state === "not_counted"
      ? `${DONE["not_counted"]} ${(handed.code ?? "").replaceAll("_", " ")}`
      : (DONE[handed.state] ?? "Recorded."),
  );
}

async function firstWrong(
  evidence: NonNullable<ReturnType<typeof readEvidence>>,
  draft: Draft,
  choice: { readonly decision: Statement["decision"]; readonly reason: string | null },
): Promise<string | null> {
  const checks = [
    ...(choice.decision === "approve" ? await checkPage(evidence) : []),
    ...(await checkDraft(evidence, draft, choice)),
  ];
  return checks.find((check) => !check.ok)?.words ?? null;
}

/** Says why it was not taken; what is over takes its sheet with it, so that is said beside it too. */
function refused(form: HTMLFormElement, problem: Problem): void {
  const words = problemWords(problem);
  complain(form, words);
  if (!isOver(problem)) return;
  toast(words);
  lookAgain();
}

/** Proves a draft and hands both in; null where it failed, which the form then says. */
export async function handIn<T>(
  form: HTMLFormElement,
  path: string,
  draft: { readonly statement: unknown; readonly sign: Draft["sign"] },
  how: string,
): Promise<T | null> {
  let proof: unknown;
  try {
    proof = await prove(draft, how);
  } catch (error) {
    complain(form, signingWords(error));
    return null;
  }
  const answer: Answer<T> = await call<T>(
    "POST",
    path,
    { statement: draft.statement, proof },
    { "idempotency-key": crypto.randomUUID() },
  );
  if (answer.ok) return answer.value;
  refused(form, answer.problem);
  return null;
}

/** What a passkey that did not sign means. */
export function signingWords(error: unknown): string {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError") {
    // A browser tells these apart for nobody.
    return "Nothing was signed: it was cancelled, took too long, or your device did not recognise you.";
  }
  if (name === "InvalidStateError") return "This device has a passkey for you already.";
  if (name === "SecurityError")
    return "Nothing was signed: passkeys belong to another address of this gateway.";
  return `Nothing was signed: ${error instanceof Error ? error.message : String(error)}`;
}

/** A question to the agent. */
export async function ask(form: HTMLFormElement): Promise<void> {
  const text = textOf(new FormData(form), "text");
  if (text === null) return complain(form, "Write a question first.");
  const answer = await call("POST", `/requests/${requestId()}/inquiries`, { text });
  if (!answer.ok) return refused(form, answer.problem);
  form.reset();
  form.closest("dialog")?.close();
  toast("Asked. The answer will appear on this page.");
}

/** A person's word about an unknown outcome. */
export async function settle(form: HTMLFormElement): Promise<void> {
  const fields = new FormData(form);
  const choice = fields.get("outcome");
  const message = textOf(fields, "message") ?? "";
  const query = new URLSearchParams({
    outcome: choice === "done" ? "done" : "failed",
    again: String(choice === "again"),
    message,
  });
  const path = `/requests/${requestId()}/settlement`;
  const drafted = await call<{ statement: Record<string, unknown>; sign: Draft["sign"] }>(
    "GET",
    `${path}?${query.toString()}`,
  );
  if (!drafted.ok) return refused(form, drafted.problem);
  const { statement } = drafted.value;
  const isChoice =
    statement["request"] === requestId() &&
    statement["outcome"] === query.get("outcome") &&
    statement["again"] === (choice === "again");
  if (!isChoice)
    return complain(form, "The statement says something else than you chose. Nothing was signed.");
  if (statement["message"] !== message) {
    // The gateway masks what looks like a secret; nobody signs words that they have not seen.
    const field = form.querySelector<HTMLTextAreaElement>('textarea[name="message"]');
    if (field !== null) field.value = String(statement["message"]);
    return complain(
      form,
      "Your words would stand in the log as they are above now. Press again to sign them.",
    );
  }
  const settled = await handIn(form, path, drafted.value, textOf(fields, "with") ?? "session");
  if (settled !== null) toast("Settled. Your word stands in the log.");
}

interface AdoptionDraft {
  readonly typ?: string;
  readonly from?: { readonly policy?: string };
  readonly to?: { readonly policy?: string; readonly registry?: string };
}

/** A person's signature under a policy change. */
export async function adopt(form: HTMLFormElement): Promise<void> {
  const { from: shownFrom, revision, registry } = form.dataset;
  const drafted = await call<{ statement: AdoptionDraft; sign: Draft["sign"] }>("GET", "/policy/draft");
  if (!drafted.ok) return refused(form, drafted.problem);
  const { typ, from, to } = drafted.value.statement;
  // Both halves of what would run: the rules, and what they run on.
  const isShown =
    typ === "countersign.adoption" &&
    from?.policy === shownFrom &&
    to?.policy === revision &&
    to?.registry === registry;
  if (!isShown) {
    return complain(
      form,
      "The files changed since this page was made. Look at the difference again; nothing was signed.",
    );
  }
  const how = textOf(new FormData(form), "with") ?? "session";
  const answer = await handIn<{ state?: string }>(form, "/policy/endorsements", drafted.value, how);
  if (answer !== null)
    toast(answer.state === "adopted" ? "Adopted. It runs now." : "Signed. Others still have to sign.");
}

export function textOf(fields: FormData, name: string): string | null {
  const value = fields.get(name);
  const text = typeof value === "string" ? value.trim() : "";
  return text === "" ? null : text;
}
