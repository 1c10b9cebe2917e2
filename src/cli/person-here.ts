import { neutralLine } from "../base/text.ts";
import type { Home } from "../gate/home.ts";
import type { Cli } from "./context.ts";
import { usage } from "./failure.ts";

/** The person whose OS account this is, by the adopted policy; or the one who is named, if the policy knows them. */
export function personHere(cli: Cli, home: Pick<Home, "adoption">, named: string | undefined): string {
  const { people } = home.adoption.current();
  const { account } = cli.parts.around;
  if (named !== undefined) {
    if (people.has(named)) return named;
    throw usage(
      `the adopted policy knows no person ${neutralLine(named)}`,
      `it knows ${[...people.keys()].join(", ")}`,
    );
  }
  const here = [...people.values()].filter((person) => !person.disabled && person.os.includes(account));
  const [only] = here;
  if (only !== undefined && here.length === 1) return only.id;
  throw usage(`the adopted policy does not say who ${account} is`, "say who you are: --as PERSON");
}
