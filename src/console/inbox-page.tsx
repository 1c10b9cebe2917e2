import type { Child, FC } from "hono/jsx";
import { LISTS, type Inbox, type ListName, type Row } from "./inbox.ts";
import { Empty, Page, type Frame } from "./layout.tsx";
import { EnvironmentChip, PhaseChip } from "./phase.tsx";
import { counted, Distance, Line, Moment } from "./text.tsx";

const PAGE = 100;
const GLANCE: Readonly<Record<ListName, number>> = { mine: PAGE, settle: 20, waiting: 10, decided: 10 };

const TITLES: Readonly<Record<ListName, readonly [title: string, tab: string]>> = {
  mine: ["For you to decide", "For you"],
  settle: ["Unknown outcomes to settle", "To settle"],
  waiting: ["Waiting for others, or running", "Waiting"],
  decided: ["Decided lately", "Decided"],
};

export interface InboxPageProps {
  readonly frame: Frame;
  readonly inbox: Inbox;
  /** One list, paged; null: a glance at each. */
  readonly list: ListName | null;
  readonly page: number;
  readonly now: number;
}

/** The inbox, with rows for what is shown of each list. */
export async function inboxPage({ frame, inbox, list, page, now }: InboxPageProps): Promise<Child> {
  const shown = list === null ? LISTS : [list];
  const rows = await Promise.all(
    shown.map((name) =>
      list === null ? inbox.rows(name, 0, GLANCE[name]) : inbox.rows(name, (page - 1) * PAGE, PAGE),
    ),
  );
  const mine = inbox.lists.mine.length;
  return (
    <Page frame={frame} title={mine > 0 ? `(${mine}) Inbox` : "Inbox"} at="/" follows="all" kind="inbox">
      <div class="page-head">
        <h1>Inbox</h1>
        <p class="lede" data-live="lede" id="lede">
          {mine === 0
            ? "Nothing waits for you."
            : `${counted(mine, "request waits", "requests wait")} for you.`}
        </p>
      </div>
      <nav class="tabs" aria-label="Lists" data-live="tabs" id="tabs">
        <a href="/" aria-current={list === null ? "page" : undefined}>
          All
        </a>
        {LISTS.map((name) => (
          <a href={`/?list=${name}`} aria-current={list === name ? "page" : undefined}>
            {TITLES[name][1]} <span class="count">{inbox.lists[name].length}</span>
          </a>
        ))}
      </nav>
      {shown.map((name, i) => (
        <Section
          name={name}
          rows={rows[i] ?? []}
          total={inbox.lists[name].length}
          page={list === null ? null : page}
          now={now}
        />
      ))}
    </Page>
  );
}

interface SectionProps {
  readonly name: ListName;
  readonly rows: readonly Row[];
  readonly total: number;
  readonly page: number | null;
  readonly now: number;
}

const Section: FC<SectionProps> = ({ name, rows, total, page, now }) => {
  const isQuiet = total === 0 && page === null && name !== "mine";
  return (
    <section class={`list list-${name}`} data-live={`list-${name}`} id={`list-${name}`}>
      {isQuiet ? null : (
        <>
          <h2>
            {TITLES[name][0]} <span class="count">{total}</span>
          </h2>
          {rows.length === 0 ? <EmptyList name={name} /> : null}
          {rows.length === 0 ? null : (
            <ul class="rows">
              {rows.map((row) => (
                <RowLine row={row} now={now} />
              ))}
            </ul>
          )}
          <More name={name} shown={rows.length} total={total} page={page} />
        </>
      )}
    </section>
  );
};

const RowLine: FC<{ row: Row; now: number }> = ({ row, now }) => (
  <li class={`row${row.effect === null ? "" : ` effect-${row.effect}`}`} id={row.id} data-key={row.id}>
    <a href={`/requests/${row.id}`} class="row-link">
      <span class="row-title">
        <Line text={row.title} />
      </span>
      <span class="row-tags">
        {row.environments.map((name) => (
          <EnvironmentChip name={name} />
        ))}
        {row.deadline === null ? <PhaseChip phase={row.phase} /> : null}
      </span>
      {row.detail === null ? null : (
        <span class="row-detail">
          <Line text={row.detail} />
        </span>
      )}
      <span class="row-meta">
        <span>
          <Line text={row.agent} /> for <Line text={row.principal} />
        </span>
        {row.detail === null ? (
          <span>
            <Line text={row.tool} />
          </span>
        ) : null}
        {row.code === null ? null : <code class="code">{row.code}</code>}
        {row.reasonCode === null ? null : (
          <span>
            <Line text={row.reasonCode.replaceAll("_", " ")} />
          </span>
        )}
      </span>
      <span class="row-side">
        {row.deadline === null ? (
          <Moment at={row.updatedAt} form="short" />
        ) : (
          <>
            <span class="left">
              <Distance at={row.deadline} now={now} />
            </span>
            <Dots have={row.have} need={row.need} />
          </>
        )}
      </span>
    </a>
  </li>
);

/** How far a quorum is, at a glance and in words. */
const Dots: FC<{ have: number; need: number }> = ({ have, need }) => (
  <span class="dots">
    {need <= 6
      ? Array.from({ length: need }, (_, i) => (
          <span class={i < have ? "dot dot-on" : "dot"} aria-hidden="true"></span>
        ))
      : null}
    <span>
      {have} of {need}
    </span>
  </span>
);

const EmptyList: FC<{ name: ListName }> = ({ name }) => {
  switch (name) {
    case "mine":
      return (
        <Empty icon="check" title="You are done">
          <p>
            When an agent asks for something the policy holds for one of your groups, it appears here by
            itself. Keep this page open, or come back when you get a link.
          </p>
          <p>
            Expected something? See <a href="/?list=waiting">what waits for others</a>, or{" "}
            <a href="/policy">which rules ask whom</a>.
          </p>
        </Empty>
      );
    case "settle":
      return (
        <Empty icon="check" title="Every outcome is known">
          <p>A request whose result was lost to a crash would wait here for a person who looks.</p>
        </Empty>
      );
    case "waiting":
      return (
        <Empty icon="clock" title="Nothing waits for anybody">
          <p>Requests that other people have to answer, and those that are running, stand here.</p>
        </Empty>
      );
    case "decided":
      return (
        <Empty icon="log" title="Nothing was decided yet">
          <p>
            Connect an agent and let it call a tool; what it asks for and what people say stays in the{" "}
            <a href="/log">log</a>.
          </p>
        </Empty>
      );
  }
};

const More: FC<{ name: ListName; shown: number; total: number; page: number | null }> = (props) => {
  const { name, shown, total, page } = props;
  if (page === null) {
    return total > shown ? (
      <p class="more">
        <a href={`/?list=${name}`}>
          Show all {total} <span class="sr">of: {TITLES[name][0]}</span>
        </a>
      </p>
    ) : null;
  }
  const pages = Math.max(1, Math.ceil(total / PAGE));
  if (pages === 1) return null;
  return (
    <nav class="pager" aria-label="Pages">
      {page > 1 ? <a href={`/?list=${name}&page=${page - 1}`}>Previous</a> : null}
      <span>
        Page {page} of {pages}, {counted(total, "request")}
      </span>
      {page < pages ? <a href={`/?list=${name}&page=${page + 1}`}>Next</a> : null}
    </nav>
  );
};
