// Turns a newer copy of our own page into nodes. The one place where text becomes markup, behind the one Trusted Types
// policy that the pages' CSP names; what it is given came from this origin, already escaped by the server.

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createHTML(text: string): string },
  ): { createHTML(text: string): string };
}

const factory = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
const policy = factory?.createPolicy("countersign", { createHTML: (text) => text });

/** A page of this origin as a document that runs nothing and loads nothing. */
export const parsePage = (html: string): Document =>
  new DOMParser().parseFromString(policy === undefined ? html : policy.createHTML(html), "text/html");
