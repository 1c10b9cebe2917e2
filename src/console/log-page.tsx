import type { FC } from "hono/jsx";
import { isId } from "../base/id.ts";
import type { Entry } from "../log/entry.ts";
import { Icon } from "./icon.tsx";
import { Empty, Page, type Frame } from "./layout.tsx";
import { LOG_GROUPS, type LogPage as Found, type LogQuery } from "./read-log.ts";
import type { Verification } from "./reader.ts";
import { sayingOf } from "./saying.ts";
import { prettyJson } from "./shown.ts";
import { Distance, DigestText, Lines, Moment } from "./text.tsx";

export interface LogState {
  readonly size: number;
  readonly root: string;
  /** What the newest checkpoint covers. */
  readonly signed: number | null;
  readonly verification: Verification | null;
}

export interface LogPageProps {
  readonly frame: Frame;
  readonly query: LogQuery;
  readonly found: Found;
  readonly state: LogState;
  readonly now: number;
}

export const LogPage: FC<LogPageProps> = ({ frame, query, found, state, now }) => (
  <Page frame={frame} title="Log" at="/log" follows={query.before === null ? "all" : null} kind="log">
    <div class="page-head">
      <h1>Log</h1>
      <p class="lede">Everything that was asked, decided and done. Nothing in it can be changed unseen.</p>
    </div>
    <VerifyState state={state} now={now} />
    <form class="filters" method="get" action="/log" role="search">
      <label class="field">
        <span>Search</span>
        <input
          type="search"
          name="q"
          value={query.words ?? ""}
          placeholder="person, tool, code, words"
          data-search
        />
      </label>
      <label class="field">
        <span>Show</span>
        <select name="kind">
          <option value="">everything</option>
          {Object.keys(LOG_GROUPS).map((group) => (
            <option value={group} selected={group === query.group}>
              {group}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>Request</span>
        <input name="subject" value={query.subject ?? ""} placeholder="req_…" autocomplete="off" />
      </label>
      <button class="button">Search</button>
    </form>
    <section data-live="entries" id="entries" aria-label="Entries">
      {found.entries.length === 0 ? (
        <Empty icon="log" title="Nothing fits">
          <p>
            Looked at {found.looked} entries. <a href="/log">Show everything</a>
          </p>
        </Empty>
      ) : (
        <ol class="entries">
          {found.entries.map((entry) => (
            <EntryLine entry={entry} />
          ))}
        </ol>
      )}
    </section>
    {found.next === null ? null : (
      <p class="more">
        <a href={`/log?${olderQuery(query, found.next)}`}>
          {found.entries.length === 0 ? "Go on looking in older entries" : "Older entries"}
        </a>
      </p>
    )}
  </Page>
);

function olderQuery(query: LogQuery, before: number): string {
  const words = new URLSearchParams({ before: String(before) });
  if (query.words !== null) words.set("q", query.words);
  if (query.group !== null) words.set("kind", query.group);
  if (query.subject !== null) words.set("subject", query.subject);
  return words.toString();
}

const EntryLine: FC<{ entry: Entry }> = ({ entry }) => {
  const { title, text, tone } = sayingOf(entry);
  return (
    <li class={`entry tone-${tone}`} data-key={String(entry.seq)}>
      <a class="seq" href={`/log/${entry.seq}`}>
        <span class="sr">entry </span>#{entry.seq}
      </a>
      <div class="entry-body">
        <b>{title}</b>
        {text === null ? null : (
          <p>
            <Lines text={text} />
          </p>
        )}
      </div>
      <p class="entry-side">
        <Moment at={Date.parse(entry.time)} form="exact" />
        <code>{entry.kind}</code>
        {isId("req", entry.subject) ? (
          <a href={`/requests/${entry.subject}`}>
            <span class="sr">request </span>…{entry.subject.slice(-6)}
          </a>
        ) : null}
      </p>
    </li>
  );
};

/** Whether the log was looked through lately, and how to do it yourself. */
export const VerifyState: FC<{ state: LogState; now: number }> = ({ state, now }) => {
  const { verification, size, signed } = state;
  const words = {
    ok: ["Verified", "good"],
    failed: ["Verification failed", "alarm"],
    running: ["Being verified", "run"],
    never: ["Not verified yet", "quiet"],
  } as const;
  const [title, tone] = words[verification?.state ?? "never"];
  return (
    <section class={`verify tone-${tone}`} data-live="verify" id="verify" aria-label="State of the log">
      <Icon name={tone === "good" ? "check" : tone === "alarm" ? "warning" : "log"} />
      <div>
        <p>
          <b>{title}</b>
          {verification === null || verification.state === "never" ? null : (
            <>
              {" "}
              up to entry {verification.size}, <Distance at={verification.at} now={now} />
            </>
          )}
        </p>
        {verification?.findings.map((finding) => (
          <p>
            <Lines text={finding} />
          </p>
        ))}
        <p class="fine">
          {size} entries{signed === null ? "" : `, ${signed} under the newest signed checkpoint`}. The gateway
          checking itself proves little: check it yourself with <code>countersign log verify</code>.
        </p>
        <details class="digests">
          <summary>Root of the tree</summary>
          <DigestText digest={state.root} />
        </details>
      </div>
    </section>
  );
};

export interface EntryPageProps {
  readonly frame: Frame;
  readonly entry: Entry;
  /** The exact line of the log. */
  readonly text: string;
  readonly proof: { readonly size: number; readonly root: string; readonly path: readonly string[] };
}

/** One entry: its words, its exact text, and what proves that it is in the log. */
export const EntryPage: FC<EntryPageProps> = ({ frame, entry, text, proof }) => {
  const saying = sayingOf(entry);
  return (
    <Page frame={frame} title={`Entry ${entry.seq}`} at="/log" follows={null} kind="entry">
      <a class="back" href="/log">
        <Icon name="back" /> Log
      </a>
      <div class="page-head">
        <h1>Entry #{entry.seq}</h1>
        <p class="lede">{saying.title}</p>
      </div>
      <section class="card">
        <dl class="plain-facts">
          <dt>Kind</dt>
          <dd>
            <code>{entry.kind}</code>
          </dd>
          <dt>Time</dt>
          <dd>
            <Moment at={Date.parse(entry.time)} />
          </dd>
          <dt>About</dt>
          <dd>
            {isId("req", entry.subject) ? (
              <a href={`/requests/${entry.subject}`}>{entry.subject}</a>
            ) : (
              <Lines text={entry.subject} />
            )}
          </dd>
          {saying.text === null ? null : (
            <>
              <dt>Says</dt>
              <dd>
                <Lines text={saying.text} />
              </dd>
            </>
          )}
          {entry.policy === null ? null : (
            <>
              <dt>Policy</dt>
              <dd>
                <DigestText digest={entry.policy} />
              </dd>
            </>
          )}
        </dl>
      </section>
      <section class="card">
        <h2>As it stands in the log</h2>
        <pre class="code-block" tabindex={0}>
          <Lines text={prettyJson(text)} code />
        </pre>
      </section>
      <section class="card">
        <h2>Proof that it is there</h2>
        <p class="fine">
          Audit path of leaf {entry.seq} in the tree of {proof.size} entries (RFC 6962), whose root is
        </p>
        <DigestText digest={proof.root} />
        <ol class="audit-path">
          {proof.path.map((hash) => (
            <li>
              <DigestText digest={hash} />
            </li>
          ))}
        </ol>
      </section>
      <nav class="pager" aria-label="Entries">
        {entry.seq > 0 ? <a href={`/log/${entry.seq - 1}`}>Previous</a> : null}
        {entry.seq + 1 < proof.size ? <a href={`/log/${entry.seq + 1}`}>Next</a> : null}
      </nav>
    </Page>
  );
};
