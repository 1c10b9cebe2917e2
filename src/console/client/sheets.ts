// Dialogs: the native element does focus, Esc and what is behind; here they open, close and complain.

/** Opens a sheet by its id and tells who listens. */
export function openSheet(id: string): void {
  const sheet = document.getElementById(id);
  if (!(sheet instanceof HTMLDialogElement) || sheet.open) return;
  complain(sheet, "");
  sheet.showModal();
  sheet.dispatchEvent(new CustomEvent("sheet-open", { bubbles: true }));
}

/** Words in the sheet's or form's own alert. */
export function complain(place: ParentNode, words: string): void {
  const error = place.querySelector(".sheet-error");
  if (error !== null) error.textContent = words;
}

/** A short word that something worked. */
export function toast(words: string): void {
  const element = document.getElementById("toast");
  if (element === null) return;
  element.textContent = words;
  element.classList.add("shown");
  setTimeout(() => {
    if (element.textContent === words) element.classList.remove("shown");
  }, 6_000);
}

/** The page may show what is not so any more: whoever keeps it true looks again. */
export const lookAgain = (): boolean => document.dispatchEvent(new CustomEvent("look-again"));

export function wireSheets(): void {
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const opener = target?.closest<HTMLElement>("[data-open]");
    if (opener !== null && opener !== undefined) openSheet(opener.dataset["open"] ?? "");
    if (target?.closest("[data-close]") !== null) target?.closest("dialog")?.close();
    // A press beside the sheet, on what is behind it.
    if (target instanceof HTMLDialogElement && target.open && isOutside(target, event)) target.close();
  });
}

function isOutside(sheet: HTMLDialogElement, { clientX, clientY }: MouseEvent): boolean {
  const { left, right, top, bottom } = sheet.getBoundingClientRect();
  const isPointer = clientX !== 0 || clientY !== 0;
  return isPointer && (clientX < left || clientX > right || clientY < top || clientY > bottom);
}
