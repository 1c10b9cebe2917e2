// What the MCP SDK makes when it is loaded, and nothing here uses, is left out of the bundle: 600 of 1,100 schemas, which
// were a sixth of a start. The SDK makes each of its schemas at the top of a file, in calls that a bundler has to keep, and
// puts all of them in two tables. Here those calls are marked as what they are, without effect, so that esbuild drops what
// nothing refers to. What is used stays as it was. An SDK that looks otherwise fails the build.
import { readFile } from "node:fs/promises";

const CORE = /@modelcontextprotocol[\\/]core[\\/]dist[\\/].*\.mjs$/;
const SERVER = /@modelcontextprotocol[\\/]server[\\/]dist[\\/]src-.*\.mjs$/;
const CLIENT = /@modelcontextprotocol[\\/]client[\\/]dist[\\/]/;

/** `const ToolSchema = z.object(…);` at the start of a line, to its end. */
const MAKES_SCHEMA = /^const (\w+) = ((?:z|\w+Schema)\.[^]*?);\n(?=[a-z/\n])/gm;

/** The tables of all schemas by name: filled by calls at the top of the file, and here by whoever uses them. */
const TABLES = {
  "const _specTypeSchemas = {};":
    "const allSchemas = () => [...SPEC_SCHEMA_KEYS.map((key) => [key, schemas_exports[key]]), ...Object.entries(authSchemas)];",
  "const _isSpecType = {};": "",
  "for (const key of SPEC_SCHEMA_KEYS) register(key, schemas_exports[key]);": "",
  "for (const [key, schema] of Object.entries(authSchemas)) register(key, schema);": "",
  "Object.freeze(_specTypeSchemas)": table("schema"),
  "Object.freeze(_isSpecType)": table("(v) => schema.safeParse(v).success"),
};

function table(value) {
  const entries = `allSchemas().map(([key, schema]) => [key.slice(0, -"Schema".length), ${value}])`;
  return `/* @__PURE__ */ (() => Object.freeze(Object.fromEntries(${entries})))()`;
}

function replaced(text, what, by) {
  if (!text.includes(what)) throw new Error(`the MCP SDK no longer has ${JSON.stringify(what)}`);
  return text.replace(what, () => by);
}

/** An esbuild plugin. */
export const leanSdk = {
  name: "lean sdk",
  setup({ onLoad, onResolve, resolve }) {
    // The client gets schemas of its own: what it uses would else be made for the server too, in a process that has no client.
    const asked = Symbol("asked");
    const ofClient = async ({ path, ...from }) => {
      const found = await resolve(path, { ...from, pluginData: asked });
      return { ...found, suffix: "?client", pluginData: "client" };
    };
    onResolve({ filter: /^@modelcontextprotocol\/core\// }, (args) =>
      args.pluginData !== asked && CLIENT.test(args.importer) ? ofClient(args) : undefined,
    );
    onResolve({ filter: /^\.\// }, (args) => (args.pluginData === "client" ? ofClient(args) : undefined));

    onLoad({ filter: CORE }, async ({ path, pluginData }) => ({
      contents: (await readFile(path, "utf8")).replaceAll(
        MAKES_SCHEMA,
        "const $1 = /* @__PURE__ */ (() => $2)();\n",
      ),
      pluginData,
    }));
    onLoad({ filter: SERVER }, async ({ path }) => ({
      contents: Object.entries(TABLES).reduce(
        (text, [what, by]) => replaced(text, what, by),
        await readFile(path, "utf8"),
      ),
    }));
  },
};
