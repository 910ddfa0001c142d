// What a search is doing, and what it did and did not do.

import { $, announce, h } from "../ui/dom.js";
import { STAGES, count, reason } from "../ui/messages.js";

export function begin() {
  $("scoring").hidden = false;
  $("progress").removeAttribute("value"); // unknown yet: the browser shows that it is busy
  $("scored").textContent = "understanding the query";
  $("coverage").hidden = true;
  $("timing").textContent = "";
}

export function understood() {
  $("scored").textContent = "searching the gallery";
}

export function found({ coverage }) {
  $("scored").textContent = `${count(coverage.candidates, "candidate")} found`;
}

export function scored({ reranked, of }) {
  Object.assign($("progress"), { max: of, value: reranked });
  $("scored").textContent = `scored ${reranked} of ${of}`;
}

export function end() {
  $("scoring").hidden = true;
}

export function summary({ coverage, timings_ms: timings, models, results }) {
  end();
  const { candidates, reranked, degraded, reasons } = coverage;
  const by = reranked ? `, ${reranked} scored by ${models.reranker ?? "the reranker"}` : "";
  const stages = Object.entries(timings).filter(([stage]) => stage !== "total").map(([stage, ms]) => `${STAGES[stage] ?? stage} ${Math.round(ms)}`);
  $("timing").textContent = `${count(candidates, "candidate")}${by} in ${Math.round(timings.total)} ms (${stages.join(", ")})`;
  // what is said of the words stands beside them, and that nothing fits above the results
  const told = degraded ? reasons.filter((word) => word !== "not_understood" && word !== "nothing_fits") : [];
  $("near").hidden = !reasons.includes("nothing_fits");
  $("coverage").hidden = !told.length;
  $("coverage").replaceChildren(...told.map((word) => h("li", { "data-reason": word }, reason(word))));
  announce(`${count(results.length, "result")}${by}. ${reasons.filter((word) => degraded || word !== "rerank_disabled").map(reason).join(" ")}`);
}
