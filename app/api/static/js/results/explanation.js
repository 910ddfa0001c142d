// Why a picture is where it is: both stages' scores and ranks, and where its phrases are seen.

import { $, describe, h } from "../ui/dom.js";
import { paint, relevance, sentence } from "./heatmap.js";
import { nameOf, urlOf } from "../query/reference.js";
import { LANES, ROLES } from "../state/intent_edits.js";
import { gallery, keywordFacets } from "../state/gallery_schema.js";

let asking = null; // AbortController of the maps under way

// result: one of an answer's. score: the reranker's. start: makes it the new reference.
export function open({ result, score, reference, roles, start }) {
  const dialog = $("why");
  const close = () => dialog.close();
  const pictures = [
    ...(reference.id ? [figure(reference.id, urlOf(reference), "Reference", nameOf(reference))] : []),
    figure(result.image_id, result.image_url, `Rank ${result.rank}`, describe(result)),
  ];
  const said = h("p", { class: "soft said-of-map", role: "status" });
  const maps = gallery().explains ? phrases(roles, pictures, said) : null;
  dialog.replaceChildren(
    h("div", { class: "dialog-top" }, h("h2", { id: "why-title" }, describe(result)), h("button", { class: "quiet small", "aria-label": "Close", onclick: close }, "✕")),
    h("div", { class: "pair" }, ...pictures.map(({ node }) => node)),
    ...(maps ? [maps, said] : []),
    h("div", { class: "stages" }, ...stages(result, score)),
    attributes(result.attributes) ?? "",
    h("p", { class: "dialog-end" }, h("button", { onclick: () => { close(); start(result); } }, "Start from this picture")),
  );
  dialog.onclick = (event) => { if (event.target === dialog) close(); };
  dialog.onclose = () => asking?.abort();
  dialog.showModal();
}

function figure(id, url, title, alt) {
  const image = h("img", { src: url, alt });
  const canvas = h("canvas", { "aria-hidden": "true" });
  return { id, title, image, canvas, node: h("figure", {}, h("div", { class: "overlaid" }, image, canvas), h("figcaption", {}, title)) };
}

function phrases(roles, pictures, said) {
  const named = ROLES.flatMap((role) => (roles?.[role] ?? []).map((phrase) => ({ role, phrase })));
  const shown = named.filter(({ phrase }, at) => named.findIndex((other) => other.phrase === phrase) === at);
  if (!shown.length) return null;
  const pick = (phrase) => {
    for (const { canvas } of pictures) canvas.classList.remove("on");
    return phrase ? map(phrase, pictures, said) : (said.textContent = "");
  };
  const choice = (value, label, role) => h("label", { class: `chip-choice ${role}` },
    h("input", { type: "radio", name: "phrase", value, checked: !value, onchange: () => pick(value) }), h("span", {}, label, role ? h("small", {}, LANES[role].title.toLowerCase()) : null));
  return h("fieldset", { class: "seen" }, h("legend", {}, "Where does the encoder see …"),
    choice("", "nothing", ""), ...shown.map(({ role, phrase }) => choice(phrase, phrase, role)));
}

async function map(phrase, pictures, said) {
  asking?.abort();
  const mine = (asking = new AbortController());
  said.textContent = "looking …";
  try {
    const maps = await Promise.all(pictures.map(({ id }) => relevance(id, phrase, mine.signal)));
    if (!maps[0].reliable) {
      said.textContent = `There is no map of “${phrase}”: it is a kind of thing, and where kinds are, this encoder is not known to tell.`;
      return;
    }
    await Promise.all(pictures.map(({ image }) => image.decode().catch(() => {})));
    pictures.forEach(({ canvas, image }, at) => { paint(canvas, image, maps[at]); canvas.classList.add("on"); });
    const each = pictures.map(({ title }, at) => (pictures.length > 1 ? `${title}: ${sentence(maps[at])}` : sentence(maps[at])));
    said.textContent = `${each.join(" ")} A map is a hint: the reranker looks with other eyes.`;
  } catch (error) {
    if (error.name !== "AbortError") said.textContent = error.message;
  }
}

function stages({ rank, retrieval_rank: was, retrieval_score: cosine }, score) {
  const way = was === rank ? "stayed there" : `${was > rank ? "rose" : "fell"} ${Math.abs(was - rank)} to ${rank}`;
  return [
    stage("Vector search", `rank ${was}`, cosine, `cosine ${cosine.toFixed(3)} with the query`),
    score === null
      ? stage("Reranker", "not asked", null, "it keeps its place")
      : stage("Reranker", `${Math.round(100 * score)} % yes`, score, `it ${way}`),
  ];
}

const stage = (name, said, share, why) => {
  const bar = h("meter", { min: 0, max: 1, value: Math.max(0, share ?? 0), "aria-label": `${name}: ${said}` });
  return h("div", { class: "stage" }, h("h3", {}, name), h("p", {}, h("b", {}, said), ` ${why}`), share === null ? null : bar);
};

function attributes(all) {
  const known = Object.entries(all ?? {});
  if (!known.length) return null;
  const order = keywordFacets().map(({ name }) => name);
  known.sort(([a], [b]) => (order.indexOf(a) + 1 || 99) - (order.indexOf(b) + 1 || 99));
  return h("dl", { class: "attributes" }, ...known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, [value].flat().join(", ")))));
}
