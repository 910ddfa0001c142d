// Changes to try: in the gallery's own words, and such that they would change this very picture.

import { $, h } from "../ui/dom.js";
import * as schema from "../state/gallery_schema.js";
import { toolbar } from "../ui/toolbar.js";

const settle = toolbar($("examples"), "button");

export function show(reference, take) {
  $("examples").replaceChildren(...(reference ? texts(reference.item?.attributes) : []).map((text) =>
    h("button", { class: "quiet small", onclick: () => take(text) }, text)));
  settle();
}

function texts(attributes) {
  const pick = (facet, say) => {
    const has = facet ? schema.valuesOf(attributes, facet.name) : [];
    const value = facet?.values.find((one) => !has.includes(one));
    return value ? [say(value)] : [];
  };
  const words = schema.keywordFacets();
  const [first, second] = words.filter((facet) => !schema.isNoun(facet) && !facet.context);
  return [
    ...pick(first, (value) => `the same but ${value}`),
    ...pick(second, (value) => `make it ${value}`),
    ...pick(words.find((facet) => facet.context), (value) => `the same, but ${value}`),
    ...pick(words.find(schema.isNoun), (value) => `a ${value} instead`),
  ];
}
