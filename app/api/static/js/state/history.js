// How one got here: the steps of a chain of searches, each a way back.

import { $, h } from "../ui/dom.js";
import { nameOf, urlOf } from "../query/reference.js";

export function show(query, back) {
  $("trail").hidden = !query.trail.length;
  const steps = query.trail.map((step, at) => h("li", {},
    h("button", { class: "quiet", "aria-label": `Back to ${nameOf(step.reference)}, ${step.text}`, onclick: () => back(at) },
      h("img", { src: urlOf(step.reference), alt: "", width: 36, height: 36 }), h("span", {}, step.text || "…"))));
  const here = query.reference ? h("li", { "aria-current": "step" }, h("img", { src: urlOf(query.reference), alt: nameOf(query.reference), width: 36, height: 36 }), h("span", {}, query.text || "now")) : "";
  $("trail").replaceChildren(h("ol", {}, ...steps, here));
}
