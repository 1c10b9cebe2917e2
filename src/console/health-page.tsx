import type { Child, FC } from "hono/jsx";
import { Icon, type IconName } from "./icon.tsx";
import { Page, type Frame } from "./layout.tsx";
import { VerifyState, type LogState } from "./log-page.tsx";
import type { Tone } from "./phase.tsx";
import { Distance, Moment } from "./text.tsx";

export interface HealthPageProps {
  readonly frame: Frame;
  readonly state: LogState;
  /** Null: not known here. */
  readonly hasSteward: boolean | null;
  readonly freeBytes: number;
  readonly minFreeBytes: number;
  readonly newestEntry: number;
  readonly now: number;
  readonly openRequests: number;
  readonly tools: readonly string[];
}

/** How far the clock may be behind the newest entry before nothing is granted (design, Clock). */
const CLOCK_BEHIND_MS = 5_000;

/** Whether everything that people rely on is there, and the next step where it is not. */
export const HealthPage: FC<HealthPageProps> = (props) => {
  const { frame, state, hasSteward, freeBytes, minFreeBytes, newestEntry, now } = props;
  const behindMs = newestEntry - now;
  const diskTone: Tone = freeBytes < minFreeBytes ? "alarm" : freeBytes < 4 * minFreeBytes ? "wait" : "good";
  return (
    <Page frame={frame} title="Health" at="/health" follows="all" kind="health">
      <div class="page-head">
        <h1>Health</h1>
        <p class="lede">What this gateway stands on.</p>
      </div>
      <ul class="health" data-live="health" id="health">
        <Item icon="check" tone="good" title="Gateway" value={`countersign ${frame.version}`}>
          {props.openRequests} open requests, {props.tools.length} tools: {props.tools.join(", ")}
        </Item>
        <Item
          icon="run"
          tone={hasSteward === null ? "quiet" : hasSteward ? "good" : "alarm"}
          title="Steward"
          value={hasSteward === null ? "not known here" : hasSteward ? "there is one" : "nobody"}
        >
          {hasSteward === false
            ? "Nobody fires deadlines, escalates or runs what was approved while the caller is away. Start it: countersign start."
            : "Fires deadlines, escalates, ends leases, and runs what was approved while the caller is away."}
        </Item>
        <Item icon="inbox" tone={diskTone} title="Disk" value={`${bytesWords(freeBytes)} free`}>
          {diskTone === "alarm"
            ? `Below ${bytesWords(minFreeBytes)} new calls are refused; decisions and outcomes go on. Free some space.`
            : `Below ${bytesWords(minFreeBytes)} new calls are refused.`}
        </Item>
        <Item
          icon="clock"
          tone={behindMs > CLOCK_BEHIND_MS ? "alarm" : "good"}
          title="Clock"
          value={behindMs > CLOCK_BEHIND_MS ? "behind its own log" : "agrees with the log"}
        >
          Now <Moment at={now} />; newest entry <Distance at={newestEntry} now={now} />.
          {behindMs > CLOCK_BEHIND_MS ? " Nothing is granted until it is corrected; denying works." : ""}
        </Item>
        <Item
          icon="warning"
          id="isolation"
          tone={frame.isolation === "none" ? "wait" : "good"}
          title="Isolation"
          value={frame.isolation}
        >
          {frame.isolation === "none"
            ? "The gateway runs as an OS user that agents may share. Code of that user can read its keys, edit its files or take its port; checkpoints and receipts say so. For something real, run it as its own user, in a container or on a host of its own: docs/operating.md."
            : "The gateway has an OS user, container or host of its own; agents reach it over its listener only."}
        </Item>
      </ul>
      <section aria-labelledby="log-title">
        <h2 id="log-title">Decision log</h2>
        <VerifyState state={state} now={now} />
        <p class="fine">
          <a href="/api/v1/log/checkpoint">Newest checkpoint</a>: keep a copy somewhere else; whoever has one
          sees any change to what came before it.
        </p>
      </section>
    </Page>
  );
};

interface ItemProps {
  readonly icon: IconName;
  readonly tone: Tone;
  readonly title: string;
  readonly value: string;
  readonly id?: string;
  readonly children?: Child;
}

const STATES: Readonly<Record<Tone, string>> = {
  good: "fine",
  wait: "look at this",
  alarm: "needs you",
  bad: "needs you",
  quiet: "unknown",
  run: "fine",
};

const Item: FC<ItemProps> = ({ icon, tone, title, value, id, children }) => (
  <li class={`card health-item tone-${tone}`} id={id}>
    <Icon name={icon} />
    <div>
      <h2>
        {title} <span class={`chip tone-${tone}`}>{STATES[tone]}</span>
      </h2>
      <p class="health-value">{value}</p>
      <p class="fine">{children}</p>
    </div>
  </li>
);

function bytesWords(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let at = bytes;
  let unit = 0;
  while (at >= 1024 && unit < units.length - 1) {
    at /= 1024;
    unit += 1;
  }
  return `${at >= 100 || unit === 0 ? Math.round(at) : at.toFixed(1)} ${units[unit] ?? ""}`;
}
