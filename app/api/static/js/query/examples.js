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
  const has = (facet) => (facet ? schema.valuesOf(attributes, facet.name) : []);
  const another = (facet, say) => {
    const value = facet?.values.find((one) => !has(facet).includes(one));
    return value ? [say(value)] : [];
  };
  const words = schema.keywordFacets();
  const [first, second] = words.filter((facet) => !schema.isNoun(facet) && !facet.context);
  const [had] = has(second);
  const priced = schema.numberFacets().some(({ name }) => /price|cost/i.test(name) && has({ name }).length);
  return [
    ...another(first, (value) => `the same but ${value}`),
    ...(had ? [`anything but ${had}`] : another(second, (value) => `make it ${value}`)),
    ...another(words.find((facet) => facet.context), () => "this, but somewhere else"),
    ...another(words.find(schema.isNoun), (value) => `I'd rather have a ${value}`),
    ...(priced ? ["something cheaper"] : []),
  ];
}
