/** One step of a JSON pointer, the slash before it included (RFC 6901 §3). */
export const pointerStep = (name: string): string => `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
