// Stands in for `@modelcontextprotocol/server/_shims` in the bundle: the same parts, but the validator of JSON Schema is
// loaded with the first schema. The SDK needs it for forms that a server asks its client to fill in, and nothing here asks
// for one; loaded with the server, it is a twentieth of a start.
import process from "node:process";

export { process };

export class DefaultJsonSchemaValidator {
  #validator = null;

  getValidator(schema) {
    if (this.#validator === null) {
      const { AjvJsonSchemaValidator } = require("@modelcontextprotocol/server/validators/ajv");
      this.#validator = new AjvJsonSchemaValidator();
    }
    return this.#validator.getValidator(schema);
  }
}
