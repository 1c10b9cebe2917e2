// Adds to package-lock.json what a registry mirror left out: optional packages for other platforms.
//
// npm writes an entry for every optional dependency, unless the registry it asks doesn't serve that platform's package;
// then it leaves the entry out, and `npm ci` refuses the lockfile everywhere, also where the package isn't needed. The
// entries made here have a version and a platform but no integrity, because nobody here has seen the bytes: on such a
// platform npm fetches that exact version unchecked. `--check` only says whether something is missing.
import { readFile, writeFile } from "node:fs/promises";

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(await readFile(path, "utf8"));
const { "": root, ...packages } = lock.packages;
const missing = [];

for (const host of Object.values(packages)) {
  for (const [name, version] of Object.entries(host.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (packages[key] !== undefined) continue;
    missing.push(`${name}@${version}`);
    packages[key] = { version, ...platformOf(name), ...(host.dev ? { dev: true } : {}), optional: true };
  }
}

/** `@oxlint/binding-linux-arm64-musl` to what npm calls os, cpu and libc. */
function platformOf(name) {
  const [os, cpu, abi = ""] = name
    .slice(name.lastIndexOf("/") + 1)
    .replace("binding-", "")
    .split("-");
  const libc = os === "linux" && abi !== "" ? { libc: [abi.startsWith("musl") ? "musl" : "glibc"] } : {};
  return { cpu: [cpu], ...libc, os: [os] };
}

if (process.argv.includes("--check")) {
  if (missing.length > 0) {
    console.error(`package-lock.json lacks ${missing.join(", ")}\nrun: node scripts/complete-lockfile.mjs`);
    process.exitCode = 1;
  }
} else if (missing.length > 0) {
  const sorted = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeFile(path, `${JSON.stringify({ ...lock, packages: { "": root, ...sorted } }, null, 2)}\n`);
  console.log(`added ${missing.length}: ${missing.join(", ")}`);
}
