import { config } from "zod";

// For the program alone, imported before the first schema is made. A schema is read a few times in the life of a
// process, so code generated for it never pays: it costs a fifth of a cold start, and is evaluated from text. Nor does what
// lets a schema read values that hold themselves: it walks through every schema, and all values here come from text.

config({
  jitless: true,
  memoizer: { attach: () => undefined, guard: () => undefined, alloc: (_schema, _payload, empty) => empty },
});
