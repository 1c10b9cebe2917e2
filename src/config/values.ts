import * as z from "zod";
import { later } from "../base/later.ts";
import { parseDuration } from "../base/duration.ts";

/** `40s`, `30m`, `1h30m`; to milliseconds. */
export const duration = later(() =>
  z
    .string()
    .refine((text) => parseDuration(text) !== undefined, "expected a duration such as 40s, 30m or 1h30m")
    .transform((text) => parseDuration(text) as number),
);

/** True for what may carry secrets: https, or the machine itself. */
const isSafeUrl = (text: string): boolean => {
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || /^(localhost|127\.0\.0\.1|\[::1\])$|\.localhost$/.test(hostname);
};

/** https anywhere, http on this machine only. */
export const safeUrl = later(() =>
  z.url({ protocol: /^https?$/ }).refine(isSafeUrl, "expected https://, or http:// on this machine"),
);

/** `2027-01-31` or `2027-01-31T09:00:00Z`; to epoch milliseconds. */
export const moment = later(() =>
  z
    .string()
    .regex(/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?Z)?$/, "expected a date such as 2027-01-31")
    .refine((text) => !Number.isNaN(Date.parse(text)), "expected a date that exists")
    .transform((text) => Date.parse(text)),
);
