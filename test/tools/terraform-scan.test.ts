import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { readBlocks } from "../../tools/terraform/hcl-blocks.ts";
import { readTokens, UnreadableText } from "../../tools/terraform/hcl-tokens.ts";
import { scanConfiguration } from "../../tools/terraform/scan.ts";

// Could a configuration run a program, reach another state or read a file of the gateway's while it is only planned,
// without being found before terraform reads it?

const dirs: string[] = [];
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

type Files = Readonly<Record<string, string | { readonly link: string }>>;

async function scan(files: Files, directory = ""): Promise<readonly string[]> {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), "cs-scan-")));
  dirs.push(dir);
  for (const [path, content] of Object.entries(files)) {
    const at = join(dir, path);
    mkdirSync(dirname(at), { recursive: true });
    if (typeof content === "string") writeFileSync(at, content);
    else symlinkSync(content.link, at);
  }
  const { findings } = await scanConfiguration(dir, directory);
  return findings.map((one) => `${one.what} ${one.file}:${one.line}`);
}

const main = (text: string): Promise<readonly string[]> => scan({ "main.tf": text });

describe("what is found in native syntax", () => {
  test.each<[string, string, string]>([
    ["external data", 'data "external" "x" {\n  program = ["id"]\n}\n', "data main.tf:1"],
    ["http data", 'data "http" "x" {\n  url = "http://x"\n}\n', "data main.tf:1"],
    ["a label without quotes", "data external x {\n}\n", "data main.tf:1"],
    ["a label with an escape", 'data "ext\\u0065rnal" "x" {\n}\n', "data main.tf:1"],
    ["one inside a check", 'check "c" {\n  data "http" "x" {\n  }\n}\n', "data main.tf:2"],
    ["one behind a comment that looks open", '/* " */ data "http" "x" {\n}\n', "data main.tf:1"],
    [
      "one behind a here document",
      'locals {\n  a = <<-EOT\n    data "x" {\n    EOT\n}\ndata "http" "x" {\n}\n',
      "data main.tf:6",
    ],
    ["another state", 'data "terraform_remote_state" "x" {\n  backend = "local"\n}\n', "state main.tf:1"],
    [
      "a provisioner",
      'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}\n',
      "provisioners main.tf:2",
    ],
    [
      "a provisioner in a removed block",
      'removed {\n  from = terraform_data.x\n  provisioner "local-exec" {\n    command = "id"\n  }\n}\n',
      "provisioners main.tf:3",
    ],
    ["a cloud block", 'terraform {\n  cloud {\n    organization = "x"\n  }\n}\n', "cloud main.tf:2"],
    ["a state store", 'terraform {\n  state_store "x" {\n  }\n}\n', "backend main.tf:2"],
    [
      "a provider that runs a program",
      'provider "kubernetes" {\n  exec {\n    command = "id"\n  }\n}\n',
      "programs main.tf:2",
    ],
    [
      "a provider that is given a program as a value",
      'provider "helm" {\n  kubernetes = {\n    exec = { command = "id" }\n  }\n}\n',
      "programs main.tf:3",
    ],
    [
      "a provider that is given a program under a name in brackets",
      'provider "helm" {\n  kubernetes = { ("exec") : {} }\n}\n',
      "programs main.tf:2",
    ],
    [
      "a provider that makes such a block",
      'provider "kubernetes" {\n  dynamic "exec" {\n    for_each = [1]\n    content {}\n  }\n}\n',
      "programs main.tf:2",
    ],
    [
      "a provider with credentials that may name a program",
      'provider "aws" {\n  shared_credentials_files = ["./x"]\n}\n',
      "programs main.tf:2",
    ],
    [
      "a provider with a kubeconfig of the repository",
      'provider "kubernetes" {\n  config_path = "./x"\n}\n',
      "programs main.tf:2",
    ],
    [
      "a provider with options of ssh",
      'provider "docker" {\n  ssh_opts = ["-o", "ProxyCommand=id"]\n}\n',
      "programs main.tf:2",
    ],
    ["http data that is not kept", 'ephemeral "http" "x" {\n}\n', "data main.tf:1"],
    [
      "a provider with a file that names a program",
      'provider "aws" {\n  shared_config_files = ["./x"]\n}\n',
      "programs main.tf:2",
    ],
    ["a module from a registry", 'module "x" {\n  source = "hashicorp/consul/aws"\n}\n', "modules main.tf:2"],
    ["a module from git", 'module "x" {\n  source = "git::https://x/y"\n}\n', "modules main.tf:2"],
    ["a module from an absolute path", 'module "x" {\n  source = "/etc"\n}\n', "modules main.tf:2"],
    ["a module from above the repository", 'module "x" {\n  source = "../../../.."\n}\n', "files main.tf:2"],
    ["a file of the machine", 'output "x" {\n  value = file("/etc/passwd")\n}\n', "files main.tf:2"],
    ["a file of the account", 'output "x" {\n  value = file("~/.ssh/id_ed25519")\n}\n', "files main.tf:2"],
    ["a file that is computed", 'output "x" {\n  value = filebase64(var.x)\n}\n', "files main.tf:2"],
    ["a file in a text", 'output "x" {\n  value = "a ${file("/etc/passwd")} b"\n}\n', "files main.tf:2"],
    [
      "a file in a here document",
      'output "x" {\n  value = <<EOT\n${file("/etc/passwd")}\nEOT\n}\n',
      "files main.tf:3",
    ],
    [
      "a file whose name and brackets stand on two lines",
      'output "x" {\n  value = (file\n\n  # one more\n  ("/etc/passwd"))\n}\n',
      "files main.tf:2",
    ],
    ["such a file in a text", 'output "x" {\n  value = "${file\n("/etc/passwd")}"\n}\n', "files main.tf:2"],
    [
      "a file above the repository",
      'output "x" {\n  value = file("${path.module}/../../x")\n}\n',
      "files main.tf:2",
    ],
    [
      "a path that goes down and up again",
      'output "x" {\n  value = file("${path.module}/a/../../x")\n}\n',
      "files main.tf:2",
    ],
    [
      "a function by its whole name",
      'output "x" {\n  value = core::file("/etc/passwd")\n}\n',
      "files main.tf:2",
    ],
    [
      "a template that is made",
      'output "x" {\n  value = templatestring(local.x, {})\n}\n',
      "files main.tf:2",
    ],
    [
      "a pattern that leaves",
      'output "x" {\n  value = fileset(path.module, "../../*")\n}\n',
      "files main.tf:2",
    ],
    [
      "an escape of which nobody knows what it escapes",
      'output "x" {\n  value = "$$${file("/etc/passwd")}"\n}\n',
      "unreadable main.tf:2",
    ],
    ["a block that came with a newer terraform", 'action "x" "y" {\n}\n', "unreadable main.tf:1"],
    ["a key that a program gives", "terraform {\n  encryption {\n  }\n}\n", "backend main.tf:2"],
    ["a file that ends too early", 'resource "a" "b" {\n', "unreadable main.tf:2"],
    ["a control character", "locals {\n  a = 1\0\n}\n", "unreadable main.tf:2"],
  ])("%s", async (_, text, expected) => {
    expect((await main(text)).map((one) => one.replace(/:\d+$/, ""))).toContain(
      expected.replace(/:\d+$/, ""),
    );
  });

  test("lines are told", async () => {
    expect(await main('locals {\n  a = "x"\n}\n\n# comment\ndata "http" "x" {\n}\n')).toEqual([
      "data main.tf:6",
    ]);
  });
});

describe("what is found elsewhere", () => {
  test.each<[string, Files, string]>([
    ["JSON", { "a.tf.json": '{"data":{"external":{"x":{"program":["id"]}}}}' }, "data a.tf.json"],
    [
      "JSON in lists",
      { "a.tf.json": '{"data":[{"external":[{"x":{"program":["id"]}}]}]}' },
      "data a.tf.json",
    ],
    [
      "JSON with a name that stands twice",
      { "a.tf.json": '{"data":{"external":{"x":{}}},"data":{}}' },
      "unreadable a.tf.json",
    ],
    [
      "a provisioner in JSON",
      {
        "a.tf.json":
          '{"resource":{"terraform_data":{"x":{"provisioner":[{"local-exec":{"command":"id"}}]}}}}',
      },
      "provisioners a.tf.json",
    ],
    [
      "a file in a text of JSON",
      { "a.tf.json": '{"output":{"x":{"value":"${file(\\"/etc/passwd\\")}"}}}' },
      "files a.tf.json",
    ],
    [
      "a module in JSON",
      { "a.tf.json": '{"module":{"x":{"source":"git::https://x/y"}}}' },
      "modules a.tf.json",
    ],
    [
      "a cloud block in JSON",
      { "a.tf.json": '{"terraform":{"cloud":{"organization":"x"}}}' },
      "cloud a.tf.json",
    ],
    ["OpenTofu's own files", { "a.tofu": 'data "external" "x" {\n}\n' }, "data a.tofu"],
    [
      "a backend in an override file",
      { "zz_override.tf": 'terraform {\n  backend "http" {\n  }\n}\n' },
      "backend zz_override.tf",
    ],
    [
      "a backend in the override file",
      { "override.tf.json": '{"terraform":{"backend":{"http":{}}}}' },
      "backend override.tf.json",
    ],
    [
      "a local module",
      { "main.tf": 'module "m" {\n  source = "./m"\n}\n', "m/x.tf": 'data "external" "x" {\n}\n' },
      "data m/x.tf",
    ],
    [
      "a module of a module",
      {
        "main.tf": 'module "m" {\n  source = "./m"\n}\n',
        "m/x.tf": 'module "n" {\n  source = "../n"\n}\n',
        "n/x.tf": 'data "http" "x" {\n}\n',
      },
      "data n/x.tf",
    ],
    [
      "a template",
      {
        "main.tf": 'output "x" {\n  value = templatefile("${path.module}/t.tpl", {})\n}\n',
        "t.tpl": 'x ${file("/etc/passwd")}',
      },
      "files main.tf",
    ],
    [
      "a link in the place of a file",
      { "main.tf": 'output "x" {\n  value = file("link")\n}\n', link: { link: "/etc/passwd" } },
      "files main.tf",
    ],
    [
      "a path through a link",
      {
        "a/b/c/main.tf": 'module "m" {\n  source = "./m"\n}\n',
        "top/x.tf": 'output "x" {\n  value = file("${path.module}/../../secret")\n}\n',
        "a/b/c/m": { link: "../../../top" },
      },
      "files top/x.tf",
    ],
    [
      "a state in the repository",
      { "main.tf": "", "terraform.tfstate": "{}" },
      "state_in_repository terraform.tfstate",
    ],
  ])("%s", async (_, files, expected) => {
    const directory = "a/b/c/main.tf" in files ? "a/b/c" : "";
    expect((await scan(files, directory)).map((one) => one.replace(/:\d+$/, ""))).toContain(expected);
  });
});

test("an ordinary configuration gives nothing to find", async () => {
  expect(
    await scan({
      "main.tf": `terraform {
  required_version = ">= 1.8"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
  }
  backend "s3" {}
}

provider "aws" {
  region = "eu-west-1"
}

locals {
  names = { for name in var.names : name => upper(name) if name != "" }
  text  = <<-EOT
    file("/etc/passwd") is text here, and so is $\${file("x")}
    %{for one in var.names~}
    \${one}
    %{endfor~}
  EOT
  cost = var.a > 1 && !(var.b <= 2) ? 3 : 4 % 2 // comment
}

module "net" {
  source = "../modules/net"
  cidr   = "10.0.0.0/16"
}

resource "aws_s3_object" "page" {
  for_each = fileset(path.module, "pages/*.html")
  content  = file("\${path.module}/pages/index.html")
  etag     = filemd5("pages/index.html")
  user     = templatefile("\${path.root}/user.tpl", { name = "x" })
  lifecycle {
    ignore_changes = [tags["a b"], content]
  }
}
`.replace('source = "../modules/net"', 'source = "./net"'),
      "net/main.tf":
        'variable "cidr" {\n  type = string\n}\noutput "shared" {\n  value = file("${path.module}/../pages/index.html")\n}\n',
      "pages/index.html": "<p>",
      "user.tpl": "name: ${name}\n",
      "notes.txt": 'data "external" "x" {',
      ".hidden.tf": 'data "external" "x" {\n}\n',
    }),
  ).toEqual([]);
});

describe("the reader", () => {
  test("never takes longer than a moment, and reads or refuses", () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom(
            "a",
            '"',
            "$",
            "{",
            "}",
            "%",
            "<<",
            "EOT",
            "\n",
            " ",
            "\\",
            "#",
            "/",
            "*",
            "=",
            "[",
            "]",
            "(",
            ")",
          ),
          maxLength: 200,
        }),
        (text) => {
          try {
            readBlocks(text);
          } catch (error) {
            expect(error).toBeInstanceOf(UnreadableText);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("text that is quoted stays one text, whatever stands in it", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        fc.pre(
          !/[\0-\x08\x0b\x0c\x0e-\x1f\x7f\r]/.test(text) && text.isWellFormed() && !text.startsWith("\ufeff"),
        );
        // A function, because "$$" in a replacement text means one "$".
        const quoted = JSON.stringify(text).replaceAll(/[$%]\{/g, (open) => `${open[0]}${open}`);
        fc.pre(!/\$\$\$\{|%%%\{|\\[bf/]/.test(quoted));
        expect(readTokens(`a = ${quoted}`).at(-1)).toEqual({
          kind: "text",
          parts: text === "" ? [] : [text],
          line: 1,
        });
      }),
    );
  });

  test("a blank that only some programs take for one does not hide the end of a text", () => {
    expect(() => readBlocks("locals {\n  a = <<EOT\n\u00a0EOT\n}\n")).toThrow(UnreadableText);
    expect(() => readBlocks("locals {\n  a = <<EOT\nEOT\u0085\n}\n")).toThrow(UnreadableText);
  });
});
