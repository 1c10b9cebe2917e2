declare const __COUNTERSIGN_VERSION__: string | undefined;

/** The release. Set when the command line is bundled; `0.0.0-dev` from source. */
export const VERSION: string =
  typeof __COUNTERSIGN_VERSION__ === "string" ? __COUNTERSIGN_VERSION__ : "0.0.0-dev";
