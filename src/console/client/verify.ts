import { canonicalBytes } from "../../base/canonical-json.ts";
import { requestCode, type Digest, type DigestTag } from "../../base/digest.ts";
import { statementBytes, type Statement } from "../../consent/statement.ts";
import { summaryUnder } from "../../consent/summary.ts";
import { cellsOf, type Evidence } from "../shown.ts";

// What stands between this page and a signature: everything that would be signed is computed again from what the page
// shows. The server's word is not taken for any digest.
//
//   V1. The text on the page is the text of the view, cell by cell, all of it (C4).
//   V2. The view hashes to the digest in the question; what the policy demands, too.
//   V3. The question hashes to the digest in the statement, and to the code on the page.
//   V4. The statement says this person, this decision, these words, and the summary derived from the question.
//   V5. The challenge is the hash of the statement's bytes.
//
// Limit: this code is served by the gateway too. It finds a wrong page and a swapped challenge; against a gateway that
// lies on purpose, compare the code with the terminal, whose checking is the person's own.

export interface Check {
  readonly ok: boolean;
  readonly words: string;
}

/** A statement as the API drafts it. */
export interface Draft {
  readonly statement: Statement;
  readonly sign: { readonly namespace: string; readonly bytes: string; readonly challenge: string };
}

/** The evidence that came with the page; null where there is none to decide about. */
export function readEvidence(): Evidence | null {
  const text = document.getElementById("evidence")?.textContent ?? null;
  return text === null ? null : (JSON.parse(text) as Evidence);
}

/** Checks page, view and question, before there is a statement. */
export async function checkPage(evidence: Evidence): Promise<readonly Check[]> {
  const { view, question, requirement, salt, code } = evidence;
  const missing = compareShown(evidence);
  const viewDigest = await digestOf("view", view, fromBase64(salt));
  const requirementDigest = await digestOf("requirement", requirement);
  const questionDigest = await digestOf("question", question);
  const codeOnPage = document.getElementById("code")?.textContent?.trim();
  return [
    missing === null
      ? good("This page shows all of the evidence, unchanged")
      : bad(`This page does not show the evidence as it is: ${missing}`),
    viewDigest === question.view && requirementDigest === question.requirement
      ? good(`Evidence and demands have the digests in the question (${short(viewDigest)})`)
      : bad("Evidence or demands have other digests than the question says"),
    requestCode(questionDigest) === code && codeOnPage === code
      ? good(`The question has the code ${code}`)
      : bad("The question has another code than this page shows"),
    view.preview.complete ? good("The evidence is complete") : bad("The evidence is not complete"),
  ];
}

/** Checks a drafted statement against page, person and choice. */
export async function checkDraft(
  evidence: Evidence,
  draft: Draft,
  choice: { readonly decision: Statement["decision"]; readonly reason: string | null },
): Promise<readonly Check[]> {
  const { statement, sign } = draft;
  const questionDigest = await digestOf("question", evidence.question);
  const bytes = statementBytes(statement);
  const challenge = toBase64Url(await sha256(bytes));
  const says =
    statement.approver === evidence.person &&
    statement.decision === choice.decision &&
    statement.reason === choice.reason &&
    statement.summary === summaryUnder(evidence.question, requestCode(questionDigest));
  return [
    statement.question === questionDigest
      ? good(`The statement is about this question (${short(questionDigest)})`)
      : bad("The statement is about another question"),
    says
      ? good(`It says: ${choice.decision.replace("_", " ")}, by ${evidence.person}`)
      : bad("The statement says something else than you chose"),
    sign.challenge === challenge && sign.bytes === toBase64(bytes)
      ? good("What your key would sign is this statement")
      : bad("What your key would sign is not this statement"),
  ];
}

/** The first cell of the view that the page shows differently, or not at all; null where all is there (V1). */
export function compareShown({ view }: Evidence): string | null {
  const shown = new Map<string, Element[]>();
  for (const element of document.querySelectorAll("[data-at]")) {
    const at = element.getAttribute("data-at") ?? "";
    const others = shown.get(at);
    if (others === undefined) shown.set(at, [element]);
    else others.push(element);
  }
  for (const { at, text } of cellsOf(view)) {
    const elements = shown.get(at) ?? [];
    if (elements.length === 0) return `${at} is missing`;
    if (elements.some((element) => element.textContent !== text)) return `${at} differs`;
    shown.delete(at);
  }
  const [extra] = shown.keys();
  return extra === undefined ? null : `${extra} is not in the evidence`;
}

const good = (words: string): Check => ({ ok: true, words });
const bad = (words: string): Check => ({ ok: false, words });
const short = (digest: string): string => `${digest.slice(0, 19)}…`;

const encoder = new TextEncoder();

/** As base/digest.ts does it: sha256 over tag, salt and RFC 8785 bytes. */
async function digestOf(tag: DigestTag, value: unknown, salt = new Uint8Array(0)): Promise<Digest> {
  const parts = [encoder.encode(`countersign.${tag}.v1\n`), salt, canonicalBytes(value)];
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return `sha256:${toHex(await sha256(all))}`;
}

const sha256 = async (bytes: Uint8Array): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes)));

const toHex = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const fromBase64 = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const toBase64 = (bytes: Uint8Array): string =>
  btoa([...bytes].map((byte) => String.fromCharCode(byte)).join(""));
const toBase64Url = (bytes: Uint8Array): string =>
  toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
