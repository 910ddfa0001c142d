// Sentences that stay until they are put away.

import { $, h } from "./dom.js";

const away = new Set(); // what was put away is not said again

// about: what the sentence speaks of; there is one sentence of each. text: "" takes it back.
export function say(about, text) {
  const id = `notice-${about}`;
  if ($(id)?.dataset.text === text) return;
  $(id)?.remove();
  if (!text || away.has(text)) return;
  const close = () => { away.add(text); node.remove(); $("text").focus({ preventScroll: true }); };
  const node = h("p", { id, class: "notice", "data-text": text }, h("span", {}, text), h("button", { class: "quiet small", "aria-label": "Put this notice away", onclick: close }, "✕"));
  $("notices").append(node);
}
