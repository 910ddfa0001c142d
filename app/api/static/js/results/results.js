// Results as cards, which glide to their new places when the reranker has spoken.

import { $, describe, h, still, thumbnail } from "../ui/dom.js";
import { keywordFacets, marks, valuesOf } from "../state/gallery_schema.js";

let act = { why: () => {}, start: () => {} };
const cards = new Map(); // image id → its element, kept from one order to the next

export function listen(actions) {
  act = actions;
}

export function clear() {
  cards.clear();
  $("results").replaceChildren();
}

// Something to look at while the first results are on their way.
export function wait(top) {
  $("results").setAttribute("aria-busy", "true");
  if (cards.size) return $("results").classList.add("stale");
  return $("results").replaceChildren(...Array.from({ length: top }, () => h("li", { class: "card waiting" })));
}

// results: in the order to show. scores: image id → the reranker's score, where there is one by now.
export function show(results, roles, scores) {
  const before = new Map([...cards].map(([id, node]) => [id, node.getBoundingClientRect()]));
  const nodes = results.map((result) => filled(cards.get(result.image_id) ?? h("li", { class: "card" }), result, roles, scores));
  cards.clear();
  results.forEach((result, at) => cards.set(result.image_id, nodes[at]));
  $("results").replaceChildren(...nodes);
  $("results").classList.remove("stale");
  $("results").removeAttribute("aria-busy");
  // the first results are simply there: nothing may stand between them and the eye
  if (before.size && !still()) for (const [id, node] of cards) glide(node, before.get(id));
}

// First, last, invert, play: where it was → where it is.
function glide(node, from) {
  const to = node.getBoundingClientRect();
  if (!from) return node.animate({ opacity: [0, 1] }, { duration: 200, easing: "ease-out" });
  const [x, y] = [from.x - to.x, from.y - to.y];
  if (!x && !y) return null;
  return node.animate({ transform: [`translate(${x}px, ${y}px)`, "none"] }, { duration: 450, easing: "cubic-bezier(.3, .7, .2, 1)" });
}

function filled(node, result, roles, scores) {
  const picture = node.querySelector("img") ?? thumbnail(result);
  const score = scores.get(result.image_id) ?? null;
  const moved = result.retrieval_rank - result.rank;
  node.dataset.imageId = result.image_id;
  node.classList.toggle("against", Boolean(result.contradicts));
  node.replaceChildren(
    h("button", { class: "picture", "aria-label": `Why: ${describe(result)}, rank ${result.rank}`, onclick: () => act.why(result, score) }, picture),
    h("div", { class: "facts" },
      h("p", { class: "rank" }, h("b", {}, String(result.rank)), movement(moved, result.retrieval_rank), h("span", { class: "rerank" }, score === null ? "" : `rerank ${score.toFixed(2)}`)),
      h("p", { class: "tags" }, result.contradicts ? h("span", { class: "misfit", title: "Its labels say that it is none of what you asked for, so it stands behind what fits" }, "does not fit") : null, ...tags(result, roles)),
      h("button", { class: "quiet small start", "aria-label": `Start from ${describe(result)}`, onclick: () => act.start(result) }, "Start from this")),
  );
  return node;
}

function movement(places, was) {
  if (!places) return null;
  const up = places > 0;
  const said = `${up ? "up" : "down"} ${Math.abs(places)} from ${was}`;
  return h("span", { class: up ? "up" : "down", role: "img", "aria-label": said, title: said }, `${up ? "▲" : "▼"} ${Math.abs(places)}`);
}

const ROLE_WORDS = { preserve: "kept", desired: "wanted", forbidden: "unwanted" };

// A picture's own words, marked with what the query says of them.
function tags(result, roles) {
  const marked = marks(result.attributes, roles);
  const all = keywordFacets().flatMap(({ name }) => valuesOf(result.attributes, name).map((value) => [value, marked.get(`${name}=${value}`)]));
  if (!all.length) return [describe(result)];
  all.sort(([, a], [, b]) => Boolean(b) - Boolean(a)); // there is little room: first what the query is about
  return all.map(([value, role]) => h("span", { class: `tag ${role ?? ""}`, title: role ? ROLE_WORDS[role] : false }, value));
}
