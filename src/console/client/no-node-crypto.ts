// Stands in for `node:crypto` in the browser's bundle. What the pages share with the gateway is text and JSON; hashing
// in a page is `crypto.subtle`, so whatever would reach this is a mistake that must not pass as an empty digest.

const refuse = (): never => {
  throw new Error("node:crypto is not for pages");
};

export const createHash = refuse;
export const hash = refuse;
export const randomBytes = refuse;
export const randomFillSync = refuse;
