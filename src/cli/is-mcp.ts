/**
 * True where these words run `mcp`, after a home or not, and no other command has to be known. An agent's host starts it
 * with every session, so it loads none of the others.
 */
export function isMcp(argv: readonly string[]): boolean {
  const [first, , third] = argv;
  return (first === "--home" ? third : first) === "mcp";
}
