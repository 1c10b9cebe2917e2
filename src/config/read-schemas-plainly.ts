import { config } from "zod";

// For the program alone, imported before the first schema is made. A schema is read a few times in the life of a
// process, so code generated for it never pays: it costs a fifth of a cold start, and is evaluated from text.

config({ jitless: true });
