// What folds on a phone, where results come first: the query, into a bar that shows it. On wider
// screens the style sheet has no bar, and nothing folds.

import { $, toTop } from "./dom.js";
import { urlOf } from "../query/reference.js";

const narrow = matchMedia("(max-width: 40rem)");

export function listen() {
  $("fold").addEventListener("click", () => set(!$("query").classList.contains("folded")));
}

// The bar says the query; one that lacks its picture or its words is open.
export function show({ reference, text }, complete) {
  $("fold").hidden = !complete;
  if (!complete) return set(false);
  $("fold-picture").src = urlOf(reference);
  $("fold-text").textContent = text;
}

export function set(folded) {
  $("query").classList.toggle("folded", folded);
  $("fold").setAttribute("aria-expanded", String(!folded));
  $("fold-does").textContent = folded ? "Change" : "Close";
}

// After a search was asked for, it is the results that one wants to see.
export function toResults() {
  if ($("fold").hidden) return;
  set(true);
  if (!narrow.matches) return;
  $("fold").focus({ preventScroll: true }); // also puts a phone's keyboard away
  toTop(document.querySelector("main"));
}
