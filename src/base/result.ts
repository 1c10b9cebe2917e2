/** A value or a refusal. Refusals are part of the job; faults are thrown. */
export type Result<T, E> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

export const ok = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });
export const err = <E>(error: E): { readonly ok: false; readonly error: E } => ({ ok: false, error });

/** The same result with its refusal in other words. */
export const mapErr = <T, E, F>(result: Result<T, E>, words: (error: E) => F): Result<T, F> =>
  result.ok ? result : err(words(result.error));
