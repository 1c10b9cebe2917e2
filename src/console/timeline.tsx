import type { FC } from "hono/jsx";
import type { Entry } from "../log/entry.ts";
import { sayingOf } from "./saying.ts";
import { Lines, Moment } from "./text.tsx";

/** The entries of one request, oldest first. */
export const Timeline: FC<{ history: readonly Entry[] }> = ({ history }) => (
  <ol class="timeline">
    {history.map((entry) => {
      const { title, text, tone, claimed } = sayingOf(entry);
      return (
        <li class={`moment tone-${tone}${claimed === true ? " claimed" : ""}`}>
          <div class="moment-head">
            <b>{title}</b>
            <a class="seq" href={`/log/${entry.seq}`}>
              <span class="sr">entry </span>#{entry.seq}
            </a>
          </div>
          {text === null ? null : (
            <p>
              <Lines text={text} />
            </p>
          )}
          <Moment at={Date.parse(entry.time)} />
        </li>
      );
    })}
  </ol>
);
