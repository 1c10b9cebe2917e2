// Puts the official MCP conformance suite into .cache/conformance. It needs Node 22 (fs.globSync).
import { installTool } from "./install-tool.mjs";

installTool("conformance", "@modelcontextprotocol/conformance@0.2.0-alpha.12");
