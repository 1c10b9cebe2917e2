// JSON that is kept by the ten thousand, in few bytes: what all values of a kind have in common stands once, in their
// shape, and what is a value's own stands in one string.
//
//   K1. What is unpacked is what was packed, member for member and in their order, whatever JSON it is. Which leaves
//       count as own decides how many bytes it takes, never what comes out.
//   K2. What is unpacked is new, but for what is the same in all of a shape: that is shared, and frozen.
//   K3. So many shapes are known at most. A value of one that was forgotten is as right; it only shares nothing.

/** What values of a kind have in common. Plain JSON itself, so that it can be saved. */
export interface Shape {
  /** Its text; what makes two shapes the same. */
  readonly key: string;
  readonly root: Node;
}

export interface Packed {
  readonly shape: Shape;
  /** The value's own leaves, one after the other; a byte a character. */
  readonly own: string;
}

/** Same in all · object · array · own leaf of a form · the n-th own leaf once more · the n-th of what the keeper knows. */
type Node =
  | readonly ["=", unknown]
  | readonly ["{", readonly string[], readonly Node[]]
  | readonly ["[", readonly Node[]]
  | readonly ["digest" | "hex" | "time" | "count" | "text"]
  | readonly ["again" | "known", number];

export interface Packer {
  /** `known`: what whoever keeps the packed value has beside it. The same has to be given to {@link unpack}. */
  pack(value: unknown, known?: readonly string[]): Packed;
  /** The shape of a saved one. */
  shapeOf(key: string): Shape;
}

/**
 * Packs values of one kind.
 * @param isOwn whether text or a number under this member, of the object under `parent`, differs from value to value;
 * digests and times do, unless they are under a name that `isShared` knows
 */
export function createPacker(
  isOwn: (name: string, parent: string) => boolean,
  isShared: (name: string) => boolean,
): Packer {
  const shapes = new Map<string, Shape>();

  const shapeOf = (key: string): Shape => {
    const known = shapes.get(key);
    if (known !== undefined) return known;
    // Parsed, so that it holds on to nothing of the value that it was first seen in.
    const shape: Shape = { key: flat(key), root: frozen(JSON.parse(key)) as Node };
    const [oldest] = shapes.size >= MOST_SHAPES ? shapes.keys() : [];
    if (oldest !== undefined) shapes.delete(oldest);
    shapes.set(shape.key, shape);
    return shape;
  };

  return {
    shapeOf,
    pack(value, known = []) {
      const own: Buffer[] = [];
      const seen = new Map<string, number>();
      const leaf = (kind: "digest" | "hex" | "time" | "count" | "text", bytes: Buffer): Node => {
        own.push(bytes);
        return [kind];
      };
      const textNode = (text: string, name: string, parent: string): Node => {
        const at = known.indexOf(text);
        if (at !== -1) return ["known", at];
        const isDigest = DIGEST.test(text);
        if (isShared(name) || !(isDigest || TIME.test(text) || isOwn(name, parent))) return ["=", text];
        const before = seen.get(text);
        if (before !== undefined) return ["again", before];
        // By its place among the own leaves, which is where unpacking finds it.
        seen.set(text, own.length);
        if (isDigest) return leaf("digest", Buffer.from(text.slice(DIGEST_FRONT.length), "hex"));
        const ms = TIME.test(text) ? Date.parse(text) : Number.NaN;
        if (Number.isFinite(ms) && ms >= 0 && new Date(ms).toISOString() === text) {
          return leaf("time", countBytes(ms));
        }
        if (HEX.test(text)) {
          return leaf("hex", Buffer.concat([countBytes(text.length / 2), Buffer.from(text, "hex")]));
        }
        const bytes = Buffer.from(text, "utf8");
        // Half a surrogate pair would come out as another character.
        if (bytes.toString("utf8") !== text) return ["=", text];
        return leaf("text", Buffer.concat([countBytes(bytes.length), bytes]));
      };
      const node = (one: unknown, name: string, parent: string): Node => {
        if (typeof one === "string") return textNode(one, name, parent);
        if (typeof one === "number" && isOwn(name, parent) && Number.isSafeInteger(one) && one >= 0) {
          return leaf("count", countBytes(one));
        }
        if (typeof one !== "object" || one === null) return ["=", one];
        if (Array.isArray(one)) {
          const nodes = one.map((item) => node(item, name, parent));
          return nodes.every(isSame) ? ["=", one] : ["[", nodes];
        }
        const names = Object.keys(one);
        // Assigned, this one would not become a member; parsed, it does.
        if (names.includes("__proto__")) return ["=", one];
        const nodes = names.map((each) => node((one as Record<string, unknown>)[each], each, name));
        return nodes.every(isSame) ? ["=", one] : ["{", names, nodes];
      };
      const root = node(value, "", "");
      return { shape: shapeOf(JSON.stringify(root)), own: Buffer.concat(own).toString("latin1") };
    },
  };
}

/** What was packed (K1). */
export function unpack({ shape, own }: Packed, known: readonly string[] = []): unknown {
  const bytes = Buffer.from(own, "latin1");
  const leaves: (string | number)[] = [];
  let at = 0;
  const count = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++] as number;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const take = (length: number, encoding: "hex" | "utf8"): string => {
    const text = bytes.toString(encoding, at, at + length);
    at += length;
    return text;
  };
  const leaf = (kind: "digest" | "hex" | "time" | "count" | "text"): string | number => {
    switch (kind) {
      case "digest":
        return DIGEST_FRONT + take(DIGEST_BYTES, "hex");
      case "hex":
        return take(count(), "hex");
      case "time":
        return new Date(count()).toISOString();
      case "count":
        return count();
      case "text":
        return take(count(), "utf8");
    }
  };
  const value = (node: Node): unknown => {
    switch (node[0]) {
      case "=":
        return node[1];
      case "{": {
        const [, names, nodes] = node;
        const object: Record<string, unknown> = {};
        for (let i = 0; i < names.length; i += 1) object[names[i] as string] = value(nodes[i] as Node);
        return object;
      }
      case "[":
        return node[1].map(value);
      case "again":
        return leaves[node[1]];
      case "known":
        return known[node[1]];
      case "digest":
      case "hex":
      case "time":
      case "count":
      case "text": {
        const own = leaf(node[0]);
        leaves.push(own);
        return own;
      }
    }
  };
  return value(shape.root);
}

/**
 * Members that are unpacked at each look. They are an object's own and enumerable, so that a spread, a clone and JSON of
 * it have them as of any object; getters of a class would be missing there. What is the same for all objects of a kind
 * takes no room in one.
 */
export function unpackedMembers<Of, Members extends object>(members: {
  readonly [Name in keyof Members]: (of: Of) => Members[Name];
}): PropertyDescriptorMap {
  const descriptors: PropertyDescriptorMap = {};
  for (const [name, read] of Object.entries<(of: Of) => unknown>(members)) {
    descriptors[name] = {
      enumerable: true,
      get(this: Of) {
        return read(this);
      },
    };
  }
  return descriptors;
}

/** Gives for values that are the same JSON the very same object, frozen; as many as there may be shapes (K3). */
export function createSharer(): <T extends object>(value: T) => T {
  const shared = new Map<string, object>();
  return <T extends object>(value: T): T => {
    const text = JSON.stringify(value);
    const known = shared.get(text) as T | undefined;
    if (known !== undefined) return known;
    const fresh = frozen(JSON.parse(text)) as T;
    const [oldest] = shared.size >= MOST_SHAPES ? shared.keys() : [];
    if (oldest !== undefined) shared.delete(oldest);
    shared.set(flat(text), fresh);
    return fresh;
  };
}

/** An own part as JSON has it; it becomes text only when the JSON does. */
export class SavedOwn {
  readonly #own: string;
  constructor(own: string) {
    this.#own = own;
  }
  toJSON(): string {
    return Buffer.from(this.#own, "latin1").toString("base64");
  }
  static read(saved: string): string {
    return Buffer.from(saved, "base64").toString("latin1");
  }
}

/**
 * The same text in a piece of memory of its own. Cut out of a longer one or joined, text holds on to what it was made of.
 */
export function flat<T extends string>(text: T): T {
  const copy = Buffer.from(text, "utf8").toString("utf8");
  return copy === text ? (copy as T) : text;
}

const MOST_SHAPES = 1_000;
const DIGEST_FRONT = "sha256:";
const DIGEST_BYTES = 32;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const HEX = /^(?:[0-9a-f]{2}){8,}$/;

const isSame = (node: Node): boolean => node[0] === "=";

/** Seven bits a byte, the lowest first. */
function countBytes(count: number): Buffer {
  const bytes: number[] = [];
  let left = count;
  while (left >= 128) {
    bytes.push((left % 128) + 128);
    left = Math.floor(left / 128);
  }
  bytes.push(left);
  return Buffer.from(bytes);
}

function frozen(value: unknown): unknown {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}
