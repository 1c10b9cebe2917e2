import type { FC } from "hono/jsx";

const KEYS: readonly (readonly [keys: string, what: string])[] = [
  ["g then i, l, p, u, h", "go to inbox, log, policy, people, health"],
  ["j and k", "next and previous line of a list"],
  ["Enter", "open the line"],
  ["a", "approve: opens what you would sign, signs nothing"],
  ["d", "deny: opens the form"],
  ["q", "ask the agent a question: opens the form"],
  ["e", "open all folded documents, or fold them again"],
  ["/", "search, where the page has a search"],
  ["?", "this list"],
  ["Esc", "close"],
];

/** The list of keys, and the switch that turns those of one letter off (WCAG 2.1.4). */
export const Shortcuts: FC = () => (
  <dialog id="shortcuts" class="sheet" aria-labelledby="shortcuts-title">
    <form method="dialog">
      <h2 id="shortcuts-title">Keyboard shortcuts</h2>
      <table class="keys">
        <tbody>
          {KEYS.map(([keys, what]) => (
            <tr>
              <th scope="row">
                <kbd>{keys}</kbd>
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <label class="check">
        <input type="checkbox" id="shortcuts-on" checked />
        Use shortcuts in this browser
      </label>
      <div class="sheet-actions">
        <button class="button" value="close">
          Close
        </button>
      </div>
    </form>
  </dialog>
);
