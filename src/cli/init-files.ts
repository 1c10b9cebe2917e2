import type { InitAnswers } from "./init-answers.ts";

// The two files that `init` writes. People read and change them afterwards, so they explain themselves.

/** A YAML double-quoted scalar; JSON's strings are a subset of them. */
const quoted = (text: string): string => JSON.stringify(text);

export interface ConfigParts {
  readonly answers: InitAnswers;
  /** Lower-case hex. */
  readonly mcpTokenSha256: string;
}

/** Text of countersign.yaml. */
export function configText({ answers, mcpTokenSha256 }: ConfigParts): string {
  const { service } = answers;
  const services =
    service === null
      ? `# services:
#   web:
#     repository: /srv/git/web.git
#     environment: prod            # policy rules match on this word
#     releases: /srv/web           # a new release goes to releases/, then the link current moves
`
      : `services:
  ${service.name}:
    repository: ${quoted(service.repository)}
    environment: ${service.environment}      # policy rules match on this word
    releases: ${quoted(service.releases)}
`;
  return `# What this countersign home serves, and where. Rules about who may do what are in policy.yaml.
version: 1
policy: policy.yaml

# none: the gateway runs as the account that the agent may use too. service: as an account (or host) of its own,
# which only you may claim. Log, receipts and cards carry this word.
isolation: none

listeners:
  mcp: 127.0.0.1:7331              # agents, with a bearer token
  api: localhost:7332              # people; never the same port

# Who an MCP client on standard input is. For whom it acts, its OS account says (people.<id>.os in policy.yaml).
stdio: { agent: ${quoted(answers.agent)} }

# Who holds which token of the MCP port. Only the SHA-256 stands here; the token is in data/keys/mcp.token.
clients:
  - name: local
    token_sha256: "${mcpTokenSha256}"
    agent: ${quoted(answers.agent)}
    principal: ${quoted(answers.person)}

# What agents may deploy. An agent names the service; everything else comes from here.
${services}`;
}

/** Text of policy.yaml. */
export function policyText(answers: InitAnswers, account: string): string {
  const { person, name, key, userVerified, agent, colleague } = answers;
  const ssh = userVerified
    ? `{ fingerprint: ${quoted(key.fingerprint)}, user_verified: true }`
    : quoted(key.fingerprint);
  const assurance = userVerified && colleague === null ? "A3" : "A2";
  const others =
    colleague === null
      ? ""
      : `\n  ${colleague.id}:\n    name: ${quoted(colleague.id)}\n    ssh: [${quoted(colleague.fingerprint)}]`;
  const approvers = colleague === null ? person : `${person}, ${colleague.id}`;
  const soloLines =
    colleague === null
      ? `
# ${person} is alone with the agent: may approve what it asks on ${person}'s behalf, with a key file whose passphrase
# is asked every time. Statement, log and receipt say solo. Remove this line when somebody joins.
solo: ${person}
`
      : `
# Nobody approves what their own agent asks: for ${agent}, that leaves ${colleague.id}. A person more is a line here and a
# word in the group below; ssh-keygen -lf ~/.ssh/id_ed25519.pub prints their fingerprint.
`;
  return `# Who may approve what, and with which proof. This file is a proposal: what runs is the last revision that was
# adopted with \`countersign policy adopt\`. Check it with \`countersign policy check\` and \`countersign policy test\`.
version: 1

people:
  ${person}:
    name: ${quoted(name)}
    ssh: [${ssh}]
    os: [${quoted(account)}]       # calls over stdio from this account are on ${person}'s behalf${others}
${soloLines}
groups:
  approvers: [${approvers}]

agents:
  ${agent}: { owners: [${person}] }

# How a held request is answered, where a rule says nothing else. No answer in time is a deny.
defaults:
  approve: { by: [approvers], quorum: 1, assurance: A2, within: 30m }

# What it takes to adopt another revision of this file.
policy_change: { by: [approvers], quorum: ${colleague === null ? 1 : 2}, assurance: ${assurance} }

# The strictest matching rule wins: deny, then hold, then allow. Nothing matching means hold.
rules:
# - id: looking-is-free
#   match: { tool: plan_infrastructure }
#   verdict: allow
  - id: changes-need-a-person
    match: { effect: [write, destructive, privilege] }
    verdict: hold
    because: a person looks at every change

tests:
  - it: asks a person before anything changes
    call: { tool: deploy_service, environment: prod, agent: ${agent}, principal: ${person} }
    expect: { verdict: hold, rule: changes-need-a-person, quorum: 1, assurance: A2 }
`;
}
