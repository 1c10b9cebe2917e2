// Calls the API in the name of whoever signed in.

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail?: string;
  readonly hint?: string;
}

export type Answer<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: Problem };

/** The CSRF token that the page was made with. */
export const csrf = (): string => document.querySelector<HTMLMetaElement>('meta[name="csrf"]')?.content ?? "";

/** One call; problems are values, a lost connection included. */
export async function call<T>(
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer<T>> {
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      credentials: "same-origin",
      redirect: "error",
      headers: {
        accept: "application/json",
        ...(method === "GET" ? {} : { "x-csrf-token": csrf() }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    return {
      ok: false,
      problem: {
        status: 0,
        code: "unreachable",
        title: "The gateway did not answer",
        hint: "nothing is known to have been recorded; look at the page again before you repeat it",
      },
    };
  }
  const document = (await response.json().catch(() => null)) as unknown;
  if (response.ok) return { ok: true, value: document as T };
  const told = (document ?? {}) as Partial<Problem>;
  return {
    ok: false,
    problem: { code: "unknown", title: response.statusText, ...told, status: response.status },
  };
}

/** Where a page knows better than the API what a person should do next. */
const HERE: Readonly<Record<string, string>> = {
  request_not_found: "This request is over. Nothing was recorded; the page shows what came of it.",
  already_settled: "This was settled before your answer came, so it does not count.",
  expired: "The deadline has passed: no answer counts any more.",
  duplicate: "You have answered this already.",
  wrong_person: "The statement is another person’s. Nothing was recorded.",
};

/** Whether a problem means that the page shows something that is over. */
export const isOver = ({ code }: Problem): boolean =>
  ["request_not_found", "already_settled", "expired", "duplicate"].includes(code);

/** A problem as a sentence for the person, with the next step. */
export function problemWords({ code, title, detail, hint, status }: Problem): string {
  if (status === 401) return "Your session has ended. Sign in again; nothing was recorded.";
  const here = HERE[code];
  if (here !== undefined) return here;
  const words = detail ?? title;
  // An id stays as it is.
  const isId = /^\w+_/.test(words);
  const sentence = `${isId ? words : words.charAt(0).toUpperCase() + words.slice(1)}.`;
  return hint === undefined || hint.startsWith("docs/") ? sentence : `${sentence} Next: ${hint}.`;
}
