// The gallery to start from: goes on as one scrolls, within the filter.

import { getJson } from "../api.js";
import { $, describe, h, thumbnail } from "../ui/dom.js";
import { count } from "../ui/messages.js";

const PAGE = 36;
let next = null;
let loading = null; // AbortController of the page under way
let shown = "";     // the filter that is on show

let pick = () => {};
let failed = () => {};

const filterText = (filter) => (Object.keys(filter).length ? JSON.stringify(filter) : null);

const nearEnd = new IntersectionObserver(([seen]) => { if (seen.isIntersecting && next && !loading) load(); }, { rootMargin: "600px" });

export function listen(picked, problem) {
  [pick, failed] = [picked, problem];
}

export async function show(filter) {
  const text = filterText(filter) ?? "";
  if (shown === text && $("gallery").children.length) return;
  shown = text;
  loading?.abort();
  loading = next = null;
  $("gallery").replaceChildren(...Array.from({ length: 12 }, () => h("li", { class: "card waiting" })));
  await load(true);
}

async function load(first = false) {
  const mine = (loading = new AbortController());
  try {
    const page = await getJson("/gallery/images", { limit: PAGE, offset: next, filter: shown || null }, mine.signal);
    const cards = page.images.map(card);
    if (first) $("gallery").replaceChildren(...cards);
    else $("gallery").append(...cards);
    next = page.next_offset;
    const all = $("gallery").children.length;
    $("gallery-end").textContent = next ? "" : all ? `All ${count(all, "picture")}.` : "No picture fits this filter.";
  } catch (error) {
    if (error.name === "AbortError") return;
    if (first) { $("gallery").replaceChildren(); shown = ""; }
    next = null;
    failed(error);
  } finally {
    if (loading === mine) loading = null;
    // looked at anew: a page that did not push the end out of sight would be the last one
    nearEnd.disconnect();
    nearEnd.observe($("gallery-end"));
  }
}

function card(item) {
  const label = `Start from ${describe(item)}`;
  return h("li", { class: "card" },
    h("button", { class: "picture", "aria-label": label, title: describe(item), onclick: () => pick({ id: item.image_id, item }) }, thumbnail(item, "")));
}

export async function random(filter) {
  const { images } = await getJson("/gallery/random", { filter: filterText(filter) });
  return images.length ? { id: images[0].image_id, item: images[0] } : null;
}
