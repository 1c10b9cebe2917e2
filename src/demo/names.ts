/** What is called what in the demo's home. */
export const DEMO = {
  service: "shop",
  person: "demo",
  agent: "demo-agent",
  principal: "dev",
  environment: "demo",
} as const;
