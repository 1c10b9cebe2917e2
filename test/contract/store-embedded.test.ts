import { embeddedBed } from "../support/embedded-bed.ts";
import { storeSuite } from "./store-suite.ts";

storeSuite("the embedded store", async (privateKey) => {
  const bed = embeddedBed(privateKey);
  return { open: (parts) => bed.open(parts), remove: async () => bed.remove() };
});
