// The hosts that `countersign install` knows: what their file is called, which key holds servers, what they make of it.

export const HOST_IDS = ["claude-desktop", "claude-code", "cursor", "vscode"] as const;
export type HostId = (typeof HOST_IDS)[number];

export const SCOPES = ["user", "project"] as const;
/** `user`: every project of this account. `project`: the directory where the command runs. */
export type Scope = (typeof SCOPES)[number];

export interface Host {
  readonly id: HostId;
  /** As people call it. */
  readonly name: string;
  /** The key that maps names to servers. */
  readonly section: "mcpServers" | "servers";
  readonly scopes: readonly Scope[];
  /** How a value names a variable of the environment; null: the host takes values as they stand. */
  readonly reference: ((variable: string) => string) | null;
  /** Whether it is known to read comments and trailing commas. */
  readonly readsComments: boolean;
  /** What a person does until the host has the new entry. */
  readonly next: string;
}

export const HOSTS: Readonly<Record<HostId, Host>> = {
  "claude-desktop": {
    id: "claude-desktop",
    name: "Claude Desktop",
    section: "mcpServers",
    scopes: ["user"],
    reference: null,
    readsComments: false,
    next: "quit Claude Desktop and start it again",
  },
  "claude-code": {
    id: "claude-code",
    name: "Claude Code",
    section: "mcpServers",
    scopes: ["user", "project"],
    reference: (variable) => `\${${variable}}`,
    readsComments: false,
    next: "start a new session; /mcp shows the server, and asks once for one of a project",
  },
  cursor: {
    id: "cursor",
    name: "Cursor",
    section: "mcpServers",
    scopes: ["user", "project"],
    reference: (variable) => `\${env:${variable}}`,
    readsComments: true,
    next: "switch the server on in Cursor's settings, under MCP",
  },
  vscode: {
    id: "vscode",
    name: "VS Code",
    section: "servers",
    scopes: ["user", "project"],
    reference: (variable) => `\${env:${variable}}`,
    readsComments: true,
    next: "run MCP: List Servers in VS Code, and start it there",
  },
};
