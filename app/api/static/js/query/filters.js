// The filter of searches and of browsing: one small panel per attribute of the catalogue. No image
// has the facets that were made of what its encoder sees.

import { $, h } from "../ui/dom.js";
import { keywordFacets, numberFacets, gallery } from "../state/gallery_schema.js";
import { toolbar } from "../ui/toolbar.js";

// Builds the panels; calls changed(filter) whenever one is set.
export function build(changed) {
  const flags = gallery().facets.filter((facet) => facet.kind === "flag");
  const panels = [
    ...keywordFacets().filter((facet) => !facet.made).map((facet) => panel(facet, choices(facet, facet.values, changed))),
    ...flags.map((facet) => panel(facet, choices(facet, [true, false], changed))),
    ...numberFacets().map((facet) => panel(facet, range(facet, changed))),
  ];
  const none = h("button", { id: "no-filter", class: "quiet small", hidden: true, onclick: () => changed({}) }, "No filter");
  const settle = toolbar($("filters"), "summary, #no-filter");
  $("filters").replaceChildren(...(panels.length ? [h("span", { class: "soft" }, "Only"), ...panels, none] : []));
  settle();
}

let current = {};

// Makes the panels say what a filter says.
export function show(filter) {
  current = filter;
  for (const details of document.querySelectorAll("#filters details")) {
    const wanted = filter[details.dataset.facet];
    details.classList.toggle("set", wanted !== undefined);
    details.querySelector(".said").textContent = wanted === undefined ? "" : said(wanted);
    for (const box of details.querySelectorAll("[type=checkbox]")) box.checked = [wanted ?? []].flat().map(String).includes(box.value);
    for (const bound of details.querySelectorAll("[type=number]")) bound.value = wanted?.[bound.name] ?? "";
  }
  if ($("no-filter")) $("no-filter").hidden = !Object.keys(filter).length;
}

const said = (wanted) => {
  if (Array.isArray(wanted)) return wanted.length > 2 ? `${wanted.length} values` : wanted.join(", ");
  if (typeof wanted !== "object") return String(wanted);
  return [["gte", "from"], ["lte", "to"]].filter(([bound]) => wanted[bound] !== undefined).map(([bound, word]) => `${word} ${wanted[bound]}`).join(" ");
};

function panel(facet, content) {
  const details = h("details", { class: "facet", "data-facet": facet.name, name: "filter" },
    h("summary", {}, facet.name, h("b", { class: "said" })), h("div", { class: "panel" }, content));
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !details.open) return;
    details.open = false;
    details.querySelector("summary").focus();
  });
  document.addEventListener("pointerdown", (event) => { if (!details.contains(event.target)) details.open = false; });
  return details;
}

function choices(facet, values, changed) {
  const set = () => {
    const picked = [...group.querySelectorAll(":checked")].map((box) => box.value);
    const { [facet.name]: _, ...others } = current;
    if (!picked.length) return changed(others);
    // a flag takes one value: both are no filter at all
    if (facet.kind === "flag") return changed(picked.length > 1 ? others : { ...others, [facet.name]: picked[0] === "true" });
    return changed({ ...others, [facet.name]: picked });
  };
  const group = h("div", { class: "choices", role: "group", "aria-label": facet.name }, ...values.map((value) =>
    h("label", { class: "check" }, h("input", { type: "checkbox", value: String(value), onchange: set }), String(value))));
  return group;
}

function range(facet, changed) {
  const set = () => {
    const inputs = [...group.querySelectorAll("input")];
    const bounds = Object.fromEntries(inputs.filter((bound) => bound.value !== "").map((bound) => [bound.name, Number(bound.value)]));
    const wrong = inputs.some((bound) => bound.validity.badInput) ? "A bound is a number."
      : bounds.gte > bounds.lte ? `Nothing is at least ${bounds.gte} and at most ${bounds.lte}.` : "";
    refusal.textContent = wrong;
    for (const bound of inputs) bound.setAttribute("aria-invalid", String(Boolean(wrong)));
    if (wrong) return;
    const { [facet.name]: _, ...others } = current;
    changed(Object.keys(bounds).length ? { ...others, [facet.name]: bounds } : others);
  };
  const bound = (name, word) => h("label", {}, word, h("input", { type: "number", name, step: "any", onchange: set }));
  const refusal = h("p", { class: "refusal", role: "alert" });
  const group = h("div", { class: "range", role: "group", "aria-label": facet.name }, bound("gte", "at least"), bound("lte", "at most"), refusal);
  return group;
}
