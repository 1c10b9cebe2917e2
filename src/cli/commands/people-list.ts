import { timestamp } from "../../base/clock.ts";
import { neutralLine } from "../../base/text.ts";
import type { PersonCredentials } from "../../consent/credential-desk.ts";
import { flagsOf } from "../context.ts";
import { formatMoment, localZone } from "../moment.ts";
import type { AddCommand } from "../program.ts";

export const addPeopleList: AddCommand = (parent, cli, run) => {
  parent
    .command("list")
    .description("people of the running policy, with what they can prove and their passkeys")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ countersign people list")
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const now = cli.parts.clock.now();
          const people = home.credentials.people();
          if (flagsOf<{ json?: boolean }>(command).json === true) {
            cli.terminal.json({ people: people.map(asDocument) });
            return 0;
          }
          for (const person of people) for (const line of linesOf(person, now)) cli.terminal.out(line);
          if (people.length === 0) cli.terminal.out("the running policy names nobody");
          if (people.every(({ credentials }) => credentials.length === 0)) {
            cli.terminal.note("nobody has a passkey yet: countersign people invite <person>");
          }
          return 0;
        }),
      ),
    );
};

function linesOf(person: PersonCredentials, now: number): readonly string[] {
  const words = [
    person.disabled
      ? "disabled"
      : person.strongest === null
        ? "can prove nothing yet"
        : `shows ${person.strongest}`,
    ...(person.sshKeys === 0 ? [] : [`${person.sshKeys} SSH key${person.sshKeys === 1 ? "" : "s"}`]),
    ...(person.oidc ? ["signs in at the identity provider"] : []),
    ...(person.invitedUntil === null
      ? []
      : [`invited until ${formatMoment(person.invitedUntil, localZone())}`]),
    ...(person.endorsements === 0 ? [] : [`invitation signed by ${person.endorsements}, waits for more`]),
  ];
  return [
    `${neutralLine(person.person).padEnd(16)} ${neutralLine(person.name)}  ${words.join(", ")}`,
    ...person.credentials.map((credential) => {
      const counts =
        credential.countsFrom <= now
          ? "A3"
          : `A2, A3 from ${formatMoment(credential.countsFrom, localZone())}`;
      return `  passkey ${credential.id}  ${neutralLine(credential.label)}  ${counts}`;
    }),
  ];
}

const asDocument = (person: PersonCredentials) => ({
  ...person,
  invitedUntil: person.invitedUntil === null ? null : timestamp(person.invitedUntil),
  credentials: person.credentials.map(({ id, label, aaguid, backupEligible, countsFrom, enrolledAt }) => ({
    id,
    label,
    aaguid,
    backupEligible,
    enrolledAt: timestamp(enrolledAt),
    countsFrom: timestamp(countsFrom),
  })),
});
