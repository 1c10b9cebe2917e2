// Puts the MCP Inspector into .cache/inspector, for the tests that drive it as a client. It needs Node 22.
import { installTool } from "./install-tool.mjs";

installTool("inspector", "@modelcontextprotocol/inspector@2.12.0");
