// The binary encoding of SSH (RFC 4251 §5): length-prefixed strings, big-endian numbers. Everything read here comes
// from outside, so a reader never looks past its end and its owner asks for `done` at the end.

export class WireError extends Error {
  override readonly name = "WireError";
}

export interface WireReader {
  byte(): number;
  uint32(): number;
  /** A length-prefixed string, not copied. */
  bytes(): Buffer;
  /** A length-prefixed string of printable ASCII. */
  text(): string;
  /** A positive mpint without superfluous leading zeroes, big-endian, unsigned. */
  positive(): Buffer;
  raw(length: number): Buffer;
  /** @throws WireError where bytes are left. */
  done(): void;
}

/** Reads strictly. Every method throws WireError where the bytes do not hold what was asked for. */
export function createWireReader(buffer: Buffer): WireReader {
  let at = 0;
  const raw = (length: number): Buffer => {
    if (length > buffer.length - at) throw new WireError("a field is longer than what is left");
    at += length;
    return buffer.subarray(at - length, at);
  };
  const uint32 = (): number => raw(4).readUInt32BE(0);
  const bytes = (): Buffer => raw(uint32());
  return {
    raw,
    uint32,
    bytes,
    byte: () => raw(1).readUInt8(0),
    text() {
      const value = bytes().toString("latin1");
      if (!/^[\x20-\x7e]*$/.test(value)) throw new WireError("a name is not printable ASCII");
      return value;
    },
    positive() {
      const value = bytes();
      const first = value[0];
      if (first === undefined || first >= 0x80) throw new WireError("a number is not positive");
      if (first !== 0) return value;
      if ((value[1] ?? 0) < 0x80) throw new WireError("a number has superfluous zeroes");
      return value.subarray(1);
    },
    done() {
      if (at !== buffer.length) throw new WireError("bytes are left at the end");
    },
  };
}

/** A length-prefixed string. */
export function wireString(value: Uint8Array | string): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
