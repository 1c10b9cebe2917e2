import type { Problem } from "./problem.ts";

// The page at which an identity provider sends people back. It is a page and not a redirect, because a cookie that is
// SameSite=Strict is not sent along a chain of redirects that another site began.

/** A path of our own, or the start page: never an address of somebody else's. */
export function localPath(to: string | undefined): string {
  if (to === undefined || !/^\/(?![/\\])[\x21-\x7e]{0,2000}$/.test(to) || /[\\"<>]/.test(to)) return "/";
  return to;
}

/** Leads on, or says what went wrong and where to go. */
export function landingPage(
  what: { readonly to: string } | { readonly error: Problem },
  headers: Headers = new Headers(),
): Response {
  const failed = "error" in what ? what.error : null;
  const to = "error" in what ? "/sign-in" : localPath(what.to);
  const lines =
    failed === null
      ? `<title>Signed in</title><meta http-equiv="refresh" content="0;url=${escape(to)}"><h1>Signed in</h1><p><a href="${escape(to)}">Go on</a></p>`
      : `<title>Not signed in</title><h1>Not signed in</h1><p>${escape(failed.detail ?? failed.title)}.</p><p>${escape(failed.hint ?? "")}</p><p><a href="/sign-in">Back to sign-in</a></p>`;
  const body = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">${lines}</html>\n`;
  const all = new Headers(headers);
  all.set("content-type", "text/html; charset=utf-8");
  return new Response(body, { status: failed === null ? 200 : failed.status, headers: all });
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escape = (text: string): string => text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? "");
