// The words as they were searched for, with those that had no effect underlined and the nearest
// values offered: taking one puts it in their place and searches again.

import { $, h } from "../ui/dom.js";
import { toolbar } from "../ui/toolbar.js";

const settle = toolbar($("unread"), "button");

export function hide() {
  $("unread").hidden = true;
}

// intent: as it was understood. take(text): searches for other words.
export function show(text, intent, take) {
  const spans = intent?.not_understood ?? [];
  $("unread").hidden = !spans.length;
  if (!spans.length) return;
  const letters = [...text.trim()]; // offsets count characters, not the halves of some
  const replace = (words) => { $("results-view").focus({ preventScroll: true }); take(words); };
  const part = (start, end) => letters.slice(start, end).join("");
  const said = [];
  let behind = 0;
  for (const { start, end } of spans) {
    said.push(part(behind, start), h("mark", {}, part(start, end)));
    behind = end;
  }
  const offers = spans.flatMap(({ text: words, start, end, nearest }) => nearest.map((value) =>
    h("button", { class: "quiet small", "aria-label": `${value} instead of ${words}`, onclick: () => replace(part(0, start) + value + part(end)) }, value)));
  $("unread").replaceChildren(
    h("p", {}, "Not understood: ", h("q", {}, ...said, part(behind))),
    ...(offers.length ? [h("div", { class: "offers" }, h("span", { class: "soft" }, "Nearest here"), ...offers)] : []));
  settle();
}
