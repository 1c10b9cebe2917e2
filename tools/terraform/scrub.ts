// Secrets that are known, taken out of text that something else wrote: diagnostics, progress, values whose mark got lost
// on the way (`terraform_data` gives its input back as output without it).

/** Replaces every known secret in a text. */
export type Scrub = (text: string) => string;

export const MASKED = "(sensitive)";
/** A shorter text inside a longer one says little, and would tear holes into everything. */
const SHORTEST = 4;

export function createScrub(secrets: Iterable<string>): Scrub {
  const forms = new Set<string>();
  for (const secret of secrets) {
    // A short one still is one where it stands alone as a value.
    if (secret !== "") forms.add(JSON.stringify(secret));
    if (secret.length < SHORTEST) continue;
    // As it is, as JSON and Go write it, and one line of it.
    for (const form of [secret, JSON.stringify(secret).slice(1, -1), secret.trim()]) {
      if (form.length >= SHORTEST) forms.add(form);
    }
    if (secret.includes("\n"))
      for (const line of secret.split("\n")) if (line.trim().length >= 16) forms.add(line.trim());
  }
  const list = [...forms].sort((a, b) => b.length - a.length);
  return (text) => list.reduce((masked, form) => masked.replaceAll(form, MASKED), text);
}
