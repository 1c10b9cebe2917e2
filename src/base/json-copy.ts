/**
 * What `JSON.parse(JSON.stringify(value))` would give for an object, sharing its strings: text is never copied, and
 * nothing of the copy can be changed through the original.
 */
export function jsonCopy(value: object): unknown {
  const copy = copied(value);
  return copy === NOT_PLAIN ? JSON.parse(JSON.stringify(value)) : copy;
}

/** Stands for a value that JSON would not give back as it is: somewhere below is a `toJSON`, a hole, -0, a class … */
const NOT_PLAIN = Symbol("not plain JSON");

function copied(value: unknown): unknown {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0) ? value : NOT_PLAIN;
    case "object":
      if (value === null) return null;
      if (Array.isArray(value)) return copiedArray(value);
      return copiedObject(value as Readonly<Record<string, unknown>>);
    case "undefined":
    case "bigint":
    case "function":
    case "symbol":
      return NOT_PLAIN;
  }
}

function copiedArray(values: readonly unknown[]): unknown {
  if ("toJSON" in values) return NOT_PLAIN;
  const copy: unknown[] = [];
  for (const value of values) {
    const one = copied(value);
    if (one === NOT_PLAIN) return NOT_PLAIN;
    copy.push(one);
  }
  return copy;
}

function copiedObject(values: Readonly<Record<string, unknown>>): unknown {
  const prototype: unknown = Object.getPrototypeOf(values);
  if ((prototype !== Object.prototype && prototype !== null) || "toJSON" in values) return NOT_PLAIN;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(values)) {
    // Assigned, this one would not become a member.
    if (key === "__proto__") return NOT_PLAIN;
    const value = values[key];
    // JSON leaves such a member out; it is the one case that our own drafts have.
    if (value === undefined) continue;
    const one = copied(value);
    if (one === NOT_PLAIN) return NOT_PLAIN;
    copy[key] = one;
  }
  return copy;
}
