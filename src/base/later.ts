/**
 * A schema that is made when somebody first looks at it. Making one costs ten times what using it once does, and a start
 * has hundreds that are for what stands in no file of this home. What is told of a schema by `describe` belongs inside, or
 * to where it is used: zod keeps it by the object, and this is another one.
 * @example `export const planSchema = later(() => z.strictObject({ … }));`
 */
export function later<T extends object>(make: () => T): T {
  let made: T | null = null;
  const get = (): T => (made ??= make());
  return new Proxy({} as T, {
    get(_, name) {
      const value: unknown = Reflect.get(get(), name);
      // What a method returns holds the schema itself, and not what stands in for it here.
      return typeof value === "function" ? (value.bind(get()) as unknown) : value;
    },
    has: (_, name) => Reflect.has(get(), name),
    getPrototypeOf: () => Reflect.getPrototypeOf(get()),
  });
}
