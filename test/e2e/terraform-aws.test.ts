import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findProgram } from "../support/find-program.ts";
import { makeTerraformWorld, missingTerraform, type TerraformWorld } from "../support/terraform-world.ts";

// One test with a provider that many people use, against a server that speaks its protocol. Slow: the plugin is large.

/** A filesystem mirror that holds the provider: where it is said to be, or in a usual place. */
const holdsAws = (mirror: string): boolean =>
  existsSync(join(mirror, "registry.terraform.io", "hashicorp", "aws"));
const below = (dir: string): readonly string[] =>
  existsSync(dir) ? readdirSync(dir).map((name) => join(dir, name)) : [];
const MIRROR =
  [
    process.env["COUNTERSIGN_TERRAFORM_MIRROR"] ?? "",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    ...below("/opt"),
  ].find((dir) => dir !== "" && holdsAws(dir)) ?? "";
const AWS = join(MIRROR, "registry.terraform.io", "hashicorp", "aws");

/** Neither is in Debian or npm, so this is skipped wherever one is missing, also where every target is required. */
const missing =
  missingTerraform() ??
  (findProgram("moto_server") === null ? "moto_server is not installed" : null) ??
  (MIRROR === "" ? "no mirror holds hashicorp/aws (COUNTERSIGN_TERRAFORM_MIRROR)" : null);

const config = (endpoint: string, version: string, ports: readonly number[]): string => `terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "${version}"
    }
  }
}

provider "aws" {
  region                      = "eu-west-1"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints {
    s3  = "${endpoint}"
    ec2 = "${endpoint}"
    sts = "${endpoint}"
  }
}

resource "aws_s3_bucket" "logs" {
  bucket = "countersign-logs"
}

resource "aws_security_group" "web" {
  name = "web"
${ports
  .map(
    (port) => `  ingress {
    from_port   = ${port}
    to_port     = ${port}
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
`,
  )
  .join("")}}
`;

describe.skipIf(missing !== null)(missing ?? "the real AWS provider", () => {
  let world: TerraformWorld;
  let moto: ChildProcess;
  let endpoint: string;
  let version: string;

  beforeAll(async () => {
    const port = await freePort();
    endpoint = `http://127.0.0.1:${port}`;
    moto = spawn(findProgram("moto_server") ?? "moto_server", ["-H", "127.0.0.1", "-p", String(port)], {
      stdio: "ignore",
    });
    for (let tries = 0; ; tries += 1) {
      const up = await fetch(`${endpoint}/moto-api/data.json`).then(
        (answer) => answer.ok,
        () => false,
      );
      if (up) break;
      if (tries > 200) throw new Error("moto did not start");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    version = readdirSync(AWS).sort().at(-1) ?? "";
    world = makeTerraformWorld({ "main.tf": config(endpoint, version, [443]) });
    world.env = {
      PLAN_KEY: "plan-key-of-the-gateway",
      PLAN_SECRET: "plan-secret-of-the-gateway",
      APPLY_KEY: "apply-key-of-the-gateway",
      APPLY_SECRET: "apply-secret-of-the-gateway",
    };
    world.entry = {
      ...world.entry,
      variables: {},
      providers: { allow: ["hashicorp/aws"], mirror: MIRROR },
      plan_env: { AWS_ACCESS_KEY_ID: { env: "PLAN_KEY" }, AWS_SECRET_ACCESS_KEY: { env: "PLAN_SECRET" } },
      apply_env: { AWS_ACCESS_KEY_ID: { env: "APPLY_KEY" }, AWS_SECRET_ACCESS_KEY: { env: "APPLY_SECRET" } },
    };
  }, 60_000);
  afterAll(() => {
    moto?.kill("SIGKILL");
    world?.remove();
  });

  test("is created, and a bucket that is deleted behind its back makes the next plan stale although the state is as it was", async () => {
    const { preview, output } = await world.run();
    expect(preview.view.counts).toMatchObject({ create: 2, destroy: 0 });
    expect(JSON.stringify(preview.view)).toContain("cidr_blocks");
    expect(output).toMatchObject({ added: 2, changed: 0, destroyed: 0 });
    expect((await fetch(`${endpoint}/countersign-logs`, { method: "HEAD" })).status).toBe(200);

    world.source.commit({ "main.tf": config(endpoint, version, [443, 22]) }, "open ssh");
    const tool = world.apply();
    const next = await world.preview({}, tool);
    expect(next.view.counts).toMatchObject({ update: 1, create: 0 });
    expect(JSON.stringify(next.view.documents[0])).toContain("22");
    const before = world.stateJson().serial;
    await fetch(`${endpoint}/countersign-logs`, { method: "DELETE" });
    expect(world.stateJson().serial).toBe(before);
    expect(await tool.guard(next.plan, world.context({ preview: next }))).not.toBe(next.guard);
    for (const secret of Object.values(world.env)) {
      expect(JSON.stringify([preview.view, preview.plan, next.view, output])).not.toContain(secret);
    }
  }, 400_000);
});

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
