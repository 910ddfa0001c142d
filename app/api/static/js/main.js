// Puts the page together: one query, one way to change it (`go`), and everything shown from it.

import * as url from "./state/url.js";
import { Problem, getJson, searchForm, searchStream } from "./api.js";
import * as browse from "./query/browse.js";
import { combobox } from "./query/combobox.js";
import * as compare from "./results/compare.js";
import * as coverage from "./results/coverage.js";
import { $, announce, toTop } from "./ui/dom.js";
import * as examples from "./query/examples.js";
import * as filters from "./query/filters.js";
import * as fold from "./ui/fold.js";
import * as intent from "./query/intent.js";
import * as notices from "./ui/notices.js";
import * as references from "./query/reference.js";
import * as results from "./results/results.js";
import * as schema from "./state/gallery_schema.js";
import * as unread from "./query/unread.js";
import * as share from "./results/share.js";
import { toolbar } from "./ui/toolbar.js";
import * as steps from "./state/history.js";
import * as errors from "./ui/errors.js";
import * as explanation from "./results/explanation.js";
import { count } from "./ui/messages.js";

let query = url.EMPTY;
let searching = null; // AbortController of the search under way
let answers = {};     // { coarse, result } of that search
let roles = null;     // as it was understood
let written = "";     // what the page last put into the input: other words there are a draft

const complete = (some = query) => Boolean(some.reference && some.text.trim());
const view = () => (complete() ? query.view : "browse");

// Everything that happens on the page ends here. An edit of the words, the picture or the mode is
// a new query and forgets edited roles; `changes` say so where they keep them.
function go(changes, { replace = false } = {}) {
  query = { ...query, ...changes };
  history[replace ? "replaceState" : "pushState"](url.toHistory(query), "", url.toAddress(query));
  render();
}

function render() {
  errors.clear();
  query = url.settled(query);
  if (query.text !== written) write(query.text);
  draft();
  $("mode").value = query.mode;
  $("rerank").checked = query.rerank;
  references.show(query.reference);
  fold.show(query, complete());
  notices.say("model", (query.reference?.upload && schema.gallery().notice) || "");
  filters.show(query.filter);
  steps.show(query, backTo);
  suggest();
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === view()));
  $("views").hidden = !complete();
  for (const name of ["results", "compare", "browse"]) $(`${name}-view`).hidden = name !== view();
  $("options").hidden = view() === "compare"; // which composes in every way, and without the reranker
  $("skip").textContent = view() === "browse" ? "Skip to the pictures" : "Skip to the results";
  $("order").hidden = true;
  stop();
  ({ results: run, compare: runCompare, browse: runBrowse })[view()]();
}

function write(text) {
  $("text").value = written = text;
}

// New words stand above results that were found for others: a notice says so.
function draft() {
  const other = complete() && $("text").value.trim() !== query.text;
  document.body.classList.toggle("drafted", other);
  $("unsent").hidden = !other;
  $("unsent").textContent = `Below is still “${query.text}”: press Search for the new words.`;
}

function stop() {
  searching?.abort();
  searching = null;
  compare.leave();
  coverage.end();
  $("coverage").hidden = $("near").hidden = true;
  unread.hide();
}

async function run() {
  const mine = (searching = new AbortController());
  answers = {};
  results.wait(query.top);
  coverage.begin();
  if (query.mode === "intersection") intent.wait(query.roles, query.reference.item?.attributes);
  else intent.hide();
  await reference();
  try {
    for await (const { event, data } of searchStream(searchForm(query), mine.signal)) {
      if (mine.signal.aborted) return;
      HANDLERS[event]?.(data);
    }
  } catch (error) {
    if (error.name === "AbortError" || mine.signal.aborted) return;
    coverage.end();
    if (!answers.coarse) unanswered();
    errors.show(error, render);
  }
}

// Nothing that was found or read for another query stays below a query that has no answer.
function unanswered() {
  results.clear();
  if (!query.roles) intent.hide();
}

function understood() {
  intent.show(roles, query.reference.item?.attributes);
  unread.show(query.text, roles, searchFor);
}

// What to do at each event of a search.
const HANDLERS = {
  intent: (composition) => { roles = composition.intent; understood(); coverage.understood(); },
  coarse: (answer) => { answers.coarse = answer; show("coarse"); coverage.found(answer); },
  progress: coverage.scored,
  result: (answer) => {
    answers.result = answer;
    $("order").hidden = !answer.coverage.reranked;
    $("order").querySelector("[value=result]").checked = true;
    show("result");
    coverage.summary(answer);
    $("more").hidden = answer.results.length < query.top || query.top >= 96;
    if (!answer.results.length) errors.sentence("Nothing in the gallery fits the filter.");
  },
  error: (problem) => { throw new Problem(problem.type.replace("urn:cir:", ""), problem.detail); },
};

function show(order) {
  const scores = new Map((answers.result ?? answers.coarse).results.map((one) => [one.image_id, one.rerank_score]));
  results.show(answers[order].results, roles, scores);
}

function runCompare() {
  reference();
  intent.wait(query.roles, query.reference.item?.attributes);
  compare.show(query, {
    why: (result) => explanation.open({ result, score: null, reference: query.reference, roles, start }),
    understood: (found) => { roles = found; understood(); },
    failed: (error) => { unanswered(); errors.show(error, render); },
  });
}

function runBrowse() {
  intent.hide();
  browse.show(query.filter);
}

// The reference's own attributes, for what is dropped and for the examples. A search does not wait for them.
async function reference() {
  const asked = query.reference;
  const found = await references.known(asked).catch(() => asked);
  if (query.reference !== asked) return;
  query.reference = found;
  references.show(found);
  suggest();
}

// "Use this result as the new reference": a step further, with the way back remembered.
function start(result) {
  const step = { ...query, trail: [] };
  const words = document.body.classList.contains("drafted") ? $("text").value : "";
  go({ reference: { id: result.image_id, item: result }, text: "", roles: null, trail: [...query.trail, step], view: "results", top: 12 });
  results.clear();
  write(words);
  announce("Now say what should be different about this picture.");
  $("text").focus({ preventScroll: true });
  toTop();
}

function backTo(at) {
  results.clear();
  go({ ...query.trail[at], trail: query.trail.slice(0, at) });
}

function choose(reference) {
  results.clear();
  go({ reference, roles: null, trail: [], view: "results" });
  if (complete()) return fold.toResults();
  $("text").focus({ preventScroll: true });
  return toTop();
}

function clear() {
  results.clear();
  go({ reference: null, roles: null, trail: [], view: "results" });
  $("choose").focus();
}

// Search for words. Chips that were edited belong to the words they were edited for.
function searchFor(text) {
  write(text);
  go({ text, roles: text === query.text ? query.roles : null, view: query.view === "browse" ? "results" : query.view, top: 12 });
  fold.toResults();
}

const suggest = () => examples.show(query.reference, searchFor);

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    suggestions.close();
    const text = $("text").value.trim();
    if (!query.reference) return errors.sentence("Choose a picture first: upload one, or take one of the gallery below.");
    if (!text) return errors.sentence("Say what should be different, in a few words.");
    return searchFor(text);
  });
  $("text").addEventListener("input", draft);
  $("clear").addEventListener("click", clear);
  $("skip").addEventListener("click", (event) => {
    event.preventDefault(); // a fragment would be a step in the history
    $(`${view()}-view`).focus();
  });
  $("mode").addEventListener("change", (event) => go({ mode: event.target.value, roles: null }));
  $("rerank").addEventListener("change", (event) => go({ rerank: event.target.checked }));
  $("order").addEventListener("change", (event) => show(event.target.value));
  $("more").addEventListener("click", () => go({ top: Math.min(96, 2 * query.top) }, { replace: true }));
  $("share").addEventListener("click", () => share.open(query));
  $("random").addEventListener("click", async () => {
    try {
      const found = await browse.random(query.filter);
      if (found) choose(found);
      else errors.sentence("No picture of the gallery fits the filter.");
    } catch (error) { errors.show(error); }
  });
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => go({ view: button.dataset.view }));
  addEventListener("popstate", (event) => {
    query = event.state ? url.fromHistory(event.state) : readAddress();
    results.clear();
    render();
  });
  references.listen(choose, errors.sentence);
  browse.listen(choose, (error) => errors.show(error, render));
  intent.listen((edited) => go({ roles: edited }));
  fold.listen();
  toolbar($("view"), "button");
  results.listen({ start, why: (result, score) => explanation.open({ result, score, reference: query.reference, roles, start }) });
}

// The word that is being typed, completed with the gallery's values.
const suggestions = combobox($("text"), (typed) => {
  const word = /[\p{L}\p{N}]+$/u.exec(typed)?.[0] ?? "";
  return schema.completions(word).map(({ value, facet }) => ({ value, hint: facet.name, start: typed.length - word.length }));
});

async function load() {
  try {
    const gallery = await getJson("/gallery");
    schema.learn(gallery);
    $("facts").textContent = `${count(gallery.images, "picture")} to search.`;
    filters.build((filter) => go({ filter, top: 12 }));
    render();
  } catch (error) {
    errors.show(error, load);
  }
}

// The query that the address holds; a notice names what could not be used.
function readAddress() {
  const { query: found, ignored } = url.fromAddress(location.search);
  const names = ignored.map((name) => `“${name}”`).join(" and ");
  notices.say("address", ignored.length ? `This address says nothing usable as ${names}, so that was left out.` : "");
  return found;
}

listen();
query = history.state ? url.fromHistory(history.state) : readAddress();
history.replaceState(url.toHistory(query), "", url.toAddress(query));
references.show(query.reference);
write(query.text);
fold.show(query, complete());
if (complete()) fold.set(true);
load();
