import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The folder that scripts/install-inspector.mjs fills, or the one that COUNTERSIGN_INSPECTOR names. */
const folder = (): string =>
  process.env["COUNTERSIGN_INSPECTOR"] ?? fileURLToPath(new URL("../../.cache/inspector", import.meta.url));

/** Why the inspector cannot be run here; null where it can. */
export function missingInspector(): string | null {
  const bin = join(folder(), "node_modules", ".bin");
  return existsSync(join(bin, "mcp-inspector")) && existsSync(join(bin, "node"))
    ? null
    : "the MCP Inspector is not installed: node scripts/install-inspector.mjs";
}

/** Runs the inspector's command line on the Node that it needs, in a home of its own. */
export async function inspect(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const bin = join(folder(), "node_modules", ".bin");
  const home = mkdtempSync(join(tmpdir(), "countersign-inspector-"));
  try {
    const { stdout, stderr } = await run(join(bin, "node"), [join(bin, "mcp-inspector"), "--cli", ...args], {
      env: { HOME: home, PATH: `${bin}:${process.env["PATH"] ?? ""}` },
      timeout: 60_000,
      maxBuffer: 16 * 1024 * 1024,
    });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const failed = error as { code?: number; stdout?: string; stderr?: string };
    return { code: failed.code ?? -1, out: failed.stdout ?? "", err: failed.stderr ?? String(error) };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
