// Problems as sentences with what to do, in the place of what they keep from being shown.

import { getJson } from "../api.js";
import { $, h } from "./dom.js";
import { advice, ended } from "./messages.js";

const LOOK_AGAIN_MS = 3000;
let watching = null;

export function clear() {
  $("message").hidden = true;
  clearTimeout(watching);
}

// again: what "Try again" does; null where trying again is of no use.
export function show(problem, again = null) {
  clearTimeout(watching);
  if (problem.type === "gallery-unavailable") noGallery(problem);
  else if (problem.type === "network") say(problem, again);
  else say(problem, ["invalid-request", "invalid-reference-image"].includes(problem.type) ? null : again);
  if (again && ["gallery-unavailable", "network"].includes(problem.type)) watching = setTimeout(() => watch(again), LOOK_AGAIN_MS);
}

export const sentence = (text) => show({ message: text, type: "" });

function say(problem, again) {
  put(h("p", {}, h("b", {}, ended(problem.message)), " ", ...coded(advice(problem.type))),
    again ? h("button", { class: "quiet small", onclick: () => { clear(); again(); } }, "Try again") : null);
}

function noGallery(problem) {
  const steps = [
    ["The demo gallery", "make demo"],
    ["Your catalogue", "python -m indexer build --manifest catalogue.csv"],
    ["A folder of pictures", "python -m indexer build --images FOLDER"],
  ];
  put(h("h2", {}, "There is nothing to search yet"), h("p", {}, `${problem.message[0].toUpperCase()}${problem.message.slice(1)}.`),
    h("dl", { class: "steps" }, ...steps.map(([what, command]) => h("div", {}, h("dt", {}, what), h("dd", {}, h("code", {}, command))))),
    h("p", { class: "soft" }, "The service may run meanwhile: this page looks again every few seconds and goes on by itself."));
}

function put(...children) {
  $("message").replaceChildren(...children.filter(Boolean));
  $("message").hidden = false;
}

// `like this` → code
const coded = (text) => text.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));

async function watch(again) {
  try {
    const { ready } = await getJson("/readyz");
    if (ready) { clear(); return again(); }
  } catch { /* not yet */ }
  watching = setTimeout(() => watch(again), LOOK_AGAIN_MS);
  return null;
}
