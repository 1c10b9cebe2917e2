import { randomBytes } from "node:crypto";

/** 128 random bits, hex: a question can never be asked twice. */
export const newNonce = (): string => randomBytes(16).toString("hex");
