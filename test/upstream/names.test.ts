import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { digestJson } from "../../src/base/digest.ts";
import { createFronting } from "../../src/upstream/fronting.ts";
import type { Pins } from "../../src/upstream/lock.ts";
import { makeUpstreamTools } from "../../src/upstream/make-tools.ts";
import { nameProblems } from "../../src/upstream/names.ts";
import { upstreamsSchema, type UpstreamRegistrations } from "../../src/upstream/registration.ts";

const entries = (prefixes: Record<string, "none" | undefined>): UpstreamRegistrations =>
  upstreamsSchema.parse(
    Object.fromEntries(
      Object.entries(prefixes).map(([alias, prefix]) => [
        alias,
        { url: "http://127.0.0.1:1/mcp", environment: "lab", ...(prefix === undefined ? {} : { prefix }) },
      ]),
    ),
  );

const pins = (tools: Record<string, readonly string[]>): Pins =>
  Object.fromEntries(
    Object.entries(tools).flatMap(([upstream, names]) =>
      names.map((tool) => {
        const definition = { name: tool, inputSchema: { type: "object" } };
        return [
          `${upstream}__${tool}`,
          { upstream, tool, digest: digestJson("tool", definition), definition },
        ];
      }),
    ),
  );

const own = (): ReadonlySet<string> => new Set(["deploy_service"]);

describe("tools of an upstream with prefix: none", () => {
  test("are called by their own names, and the others by theirs with the alias", () => {
    const made = makeUpstreamTools(
      {
        upstreams: entries({ a: "none", b: undefined }) as never,
        pins: pins({ a: ["greet"], b: ["greet"] }) as never,
      },
      () => Promise.reject(new Error("nobody is called")),
    );
    expect(made.problems).toEqual([]);
    expect(made.tools.map(({ name }) => name)).toEqual(["greet", "b__greet"]);
    expect(
      nameProblems(pins({ a: ["greet"], b: ["greet"] }), entries({ a: "none", b: undefined }), own),
    ).toEqual([]);
  });

  test("may not have the name of a tool of countersign, of today or of later", () => {
    const problems = nameProblems(
      pins({
        a: [
          "deploy_service",
          "countersign_wait",
          "countersign_anything",
          // Some hosts write these as the one before.
          "countersign.wait",
          "Countersign-wait",
          "countersigned",
        ],
      }),
      entries({ a: "none" }),
      own,
    );
    expect(problems).toHaveLength(5);
    expect(problems[0]).toContain("upstreams.a.tools.deploy_service");
    expect(problems[0]).toContain("take prefix: none from upstreams.a");
  });

  test("may not share a name with another server's tool, whichever of them keeps its own name", () => {
    expect(
      nameProblems(pins({ a: ["greet"], b: ["greet"] }), entries({ a: "none", b: "none" }), own),
    ).toEqual([expect.stringContaining('"greet" is a tool of a already')]);
    expect(
      nameProblems(pins({ a: ["b__greet"], b: ["greet"] }), entries({ a: "none", b: undefined }), own),
    ).toHaveLength(1);
  });

  test("leave the name to a tool of countersign that came later", () => {
    const said: string[] = [];
    const { tools } = createFronting({
      ...{ version: "t", env: {}, workRoot: "/nowhere" },
      log: pino({ level: "warn" }, { write: (line: string) => void said.push(line) }),
    });
    const registrations = {
      upstreams: entries({ a: "none" }) as never,
      pins: pins({ a: ["deploy_service", "greet"] }) as never,
    };
    expect(tools(registrations, own()).map(({ name }) => name)).toEqual(["greet"]);
    expect(said.join("")).toContain("a tool of countersign has this name");
  });

  test.each(["countersign", "countersign-2"])("can't come from an alias that passes for us (%s)", (alias) => {
    expect(() => entries({ [alias]: undefined })).toThrow("the gateway's own");
  });

  test("are not looked at where every upstream has its prefix", () => {
    const never = (): ReadonlySet<string> => {
      throw new Error("asked");
    };
    expect(nameProblems(pins({ a: ["x"] }), entries({ a: undefined }), never)).toEqual([]);
  });
});
