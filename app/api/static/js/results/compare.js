// The same query composed in four ways, side by side: what an intersection is for.

import { search, searchForm } from "../api.js";
import { $, describe, h, thumbnail } from "../ui/dom.js";
import { fits } from "../state/gallery_schema.js";
import { MODES, count } from "../ui/messages.js";

const SHOWN = 6;
let asking = null;

// Two circles, the picture's and the text's, with what a composition takes of them filled.
function venn(mode) {
  const svg = $("venn").content.firstElementChild.cloneNode(true);
  svg.classList.add(mode);
  return svg;
}

export function leave() {
  asking?.abort();
}

export async function show(query, { why, understood, failed }) {
  asking?.abort();
  const mine = (asking = new AbortController());
  const columns = Object.entries(MODES).map(([mode, { title, help }]) => {
    const list = h("ol", { class: "few" }, ...Array.from({ length: SHOWN }, () => h("li", { class: "card waiting" })));
    const fit = h("p", { class: "fit" }, " ");
    const node = h("section", { class: "column", "data-mode": mode, "aria-label": title }, h("h2", {}, venn(mode), title), h("p", { class: "soft" }, help), fit, list);
    return { mode, list, fit, node };
  });
  $("compare-view").replaceChildren(
    h("p", { class: "soft" }, "The vector search alone, without the reranker: the same picture and words, composed in four ways. A tick: by the gallery's own attributes it has all that is kept and wanted, and nothing unwanted."),
    h("div", { class: "columns" }, ...columns.map(({ node }) => node)));
  try {
    const answers = await Promise.all(columns.map(({ mode }) =>
      search(searchForm({ ...query, mode, rerank: false, top: SHOWN }), mine.signal)));
    const roles = answers[0].composition.intent;
    understood(roles);
    columns.forEach((column, at) => fill(column, answers[at].results, roles, why));
  } catch (error) {
    if (error.name === "AbortError") return;
    $("compare-view").replaceChildren();
    failed(error);
  }
}

function fill({ list, fit }, results, roles, why) {
  const known = results.map((result) => fits(result.attributes, roles));
  const right = known.filter(Boolean).length;
  fit.textContent = known.some((one) => one !== null) ? `${right} of ${count(results.length, "picture")} fit` : `${count(results.length, "picture")}`;
  list.replaceChildren(...results.map((result, at) => {
    const mark = known[at] === null ? null : h("span", { class: known[at] ? "tick" : "cross", "aria-hidden": "true" }, known[at] ? "✓" : "✗");
    const label = `${describe(result)}${known[at] === null ? "" : known[at] ? ", fits" : ", does not fit"}`;
    return h("li", { class: "card" }, h("button", { class: "picture", "aria-label": label, title: describe(result), onclick: () => why(result) }, thumbnail(result, ""), mark));
  }));
}
