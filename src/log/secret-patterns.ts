// What secrets look like: a table of token forms that carry their own prefix, so that a match is near certain.
//
// Every text here may be chosen by an attacker, so each rule is linear by construction: a literal prefix finds the
// place, a sticky expression without nested or ambiguous repetition reads on from it, and every repetition has an
// upper bound. Guesses without a prefix (entropy, "something = something long") are left out, and what is masked has
// the narrow alphabet of its kind, without quotes, brackets or blanks: a mask must not hide code from an approver.

export interface SecretPattern {
  readonly type: string;
  /** Literals that start the secret; matched where no token character stands before them. */
  readonly prefixes: readonly string[];
  /** Sticky, applied at the prefix. What it matches is masked, or only its group `secret` where it has one. */
  readonly body: RegExp;
  /** The prefix may follow directly on a letter or digit (`https://…`). */
  readonly anywhere?: true;
  /** A second look at the match, for forms whose shape alone proves little. */
  readonly accepts?: (match: string) => boolean;
}

// An armoured key, also where its newlines are blanks or the two characters `\n`, or where every line stands in a diff.
// A block that was cut off is masked as far as it goes. Lines are full but for the last one.
const BREAK = String.raw`(?:\r?\n|\\r\\n|\\n| )[ +-]?`;
const PRIVATE_KEY = new RegExp(
  String.raw`-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----` +
    String.raw`(?:${BREAK}[A-Za-z-]{4,20}: [A-Za-z0-9,-]{1,80}){0,4}(?:${BREAK})?` +
    String.raw`(?:(?:${BREAK})?[A-Za-z0-9+/=]{40,8192}){1,1024}(?:(?:${BREAK})?[A-Za-z0-9+/=]{1,128})?` +
    String.raw`(?:(?:${BREAK})?-----END [A-Z0-9 ]{1,50}-----)?`,
  "y",
);

export const SECRET_PATTERNS: readonly SecretPattern[] = [
  {
    type: "aws-key",
    prefixes: ["AKIA", "ASIA", "ABIA", "ACCA"],
    body: /A[A-Z]{3}[A-Z0-9]{16}(?![A-Za-z0-9])/y,
  },
  {
    type: "github-token",
    prefixes: ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
    body: /gh[pousr]_[A-Za-z0-9]{36,255}/y,
  },
  { type: "github-token", prefixes: ["github_pat_"], body: /github_pat_[A-Za-z0-9_]{22,255}/y },
  {
    type: "gitlab-token",
    prefixes: [
      "glpat-",
      "gldt-",
      "glrt-",
      "glcbt-",
      "glptt-",
      "glft-",
      "glimt-",
      "glagent-",
      "gloas-",
      "glsoat-",
    ],
    body: /gl[a-z]{2,5}-[A-Za-z0-9_.-]{20,128}/y,
  },
  { type: "slack-token", prefixes: ["xox"], body: /xox[abceoprs]-[A-Za-z0-9-]{10,250}/y },
  { type: "slack-token", prefixes: ["xapp-", "xwfp-"], body: /x(?:app|wfp)-[A-Za-z0-9-]{10,250}/y },
  {
    type: "slack-webhook",
    prefixes: ["hooks.slack.com/"],
    body: /hooks\.slack\.com\/(?:services|workflows|triggers)\/(?<secret>[A-Za-z0-9_/+-]{20,250})/y,
    anywhere: true,
  },
  {
    type: "stripe-key",
    prefixes: ["sk_live_", "sk_test_", "rk_live_", "rk_test_"],
    body: /[sr]k_(?:live|test)_[A-Za-z0-9]{10,250}/y,
  },
  { type: "webhook-secret", prefixes: ["whsec_"], body: /whsec_[A-Za-z0-9+/=]{24,250}/y },
  { type: "google-key", prefixes: ["AIza"], body: /AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_])/y },
  { type: "google-token", prefixes: ["ya29."], body: /ya29\.[A-Za-z0-9_.-]{20,1024}/y },
  { type: "google-secret", prefixes: ["GOCSPX-"], body: /GOCSPX-[A-Za-z0-9_-]{20,64}/y },
  { type: "anthropic-key", prefixes: ["sk-ant-"], body: /sk-ant-[A-Za-z0-9_-]{20,250}/y },
  {
    type: "openai-key",
    prefixes: ["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"],
    body: /sk-[A-Za-z]{4,7}-[A-Za-z0-9_-]{20,300}/y,
  },
  // The old form has no prefix of its own, but every key carries the base64 of "OpenAI" in its middle.
  {
    type: "openai-key",
    prefixes: ["sk-"],
    body: /sk-[A-Za-z0-9]{40,64}(?![A-Za-z0-9])/y,
    accepts: (match) => match.includes("T3BlbkFJ"),
  },
  { type: "npm-token", prefixes: ["npm_"], body: /npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])/y },
  { type: "pypi-token", prefixes: ["pypi-AgE"], body: /pypi-AgE[A-Za-z0-9_-]{40,1024}/y },
  { type: "docker-token", prefixes: ["dckr_pat_", "dckr_oat_"], body: /dckr_[po]at_[A-Za-z0-9_-]{20,128}/y },
  { type: "huggingface-token", prefixes: ["hf_"], body: /hf_[A-Za-z0-9]{34}(?![A-Za-z0-9])/y },
  {
    type: "digitalocean-token",
    prefixes: ["dop_v1_", "doo_v1_", "dor_v1_"],
    body: /do[opr]_v1_[a-f0-9]{64}/y,
  },
  { type: "vault-token", prefixes: ["hvs.", "hvb.", "hvr."], body: /hv[sbr]\.[A-Za-z0-9_-]{24,512}/y },
  {
    type: "sendgrid-key",
    prefixes: ["SG."],
    body: /SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}/y,
  },
  {
    type: "shopify-token",
    prefixes: ["shpat_", "shpca_", "shppa_", "shpss_"],
    body: /shp[a-z]{2}_[a-fA-F0-9]{32}/y,
  },
  { type: "age-key", prefixes: ["AGE-SECRET-KEY-1"], body: /AGE-SECRET-KEY-1[A-Z0-9]{58}/y },
  {
    type: "doppler-token",
    prefixes: ["dp.pt.", "dp.st.", "dp.ct."],
    body: /dp\.[psc]t\.[A-Za-z0-9._-]{20,128}/y,
  },
  {
    type: "jwt",
    prefixes: ["eyJ"],
    body: /eyJ[A-Za-z0-9_-]{5,4096}\.[A-Za-z0-9_-]{2,16384}\.[A-Za-z0-9_-]{0,4096}/y,
    accepts: isJwt,
  },
  { type: "private-key", prefixes: ["-----BEGIN "], body: PRIVATE_KEY, anywhere: true },
  {
    type: "url-password",
    prefixes: ["://"],
    body: /:\/\/[^\s/?#:@"'<>]{0,256}:(?<secret>[A-Za-z0-9._~%!*+,=^-]{1,256})@/y,
    anywhere: true,
  },
  {
    type: "bearer",
    prefixes: ["Bearer ", "bearer ", "BEARER "],
    body: /bearer {1,4}(?<secret>[A-Za-z0-9._~+/-]{16,4096}={0,2})/iy,
  },
  {
    type: "basic",
    prefixes: ["Basic ", "basic ", "BASIC "],
    body: /basic {1,4}(?<secret>[A-Za-z0-9+/]{8,4096}={0,2})/iy,
    accepts: isUserAndPassword,
  },
  {
    type: "azure-key",
    prefixes: ["AccountKey=", "SharedAccessKey=", "SharedAccessSignature="],
    body: /[A-Za-z]{10,21}=(?<secret>[A-Za-z0-9+/=%&_.-]{20,1024})/y,
  },
];

/** Three base64url parts of which the first is a JSON object that names an algorithm. */
function isJwt(match: string): boolean {
  const head = match.slice(0, match.indexOf("."));
  try {
    const header: unknown = JSON.parse(Buffer.from(head, "base64url").toString("utf8"));
    return typeof header === "object" && header !== null && "alg" in header;
  } catch {
    return false;
  }
}

function isUserAndPassword(match: string): boolean {
  const text = Buffer.from(match.slice(match.lastIndexOf(" ") + 1), "base64").toString("latin1");
  return /^[\x20-\x7e]{1,512}$/.test(text) && text.includes(":");
}
