// The page is a client of the public API and uses nothing else: POST /search/stream, GET /gallery, …

const $ = (id) => document.getElementById(id);
const ROLE_WORDS = { preserve: "keep", desired: "want", forbidden: "not" };
const SOURCE_WORDS = {
  facets: "(read with the gallery's own attributes)",
  mllm: "(composed by the multimodal model)",
  client: "(edited by you)",
  none: "(no attributes to read the image with: a plain sum of image and text)",
};
const REASON_WORDS = {
  rerank_disabled: "Not re-ranked: no judge is set up.",
  worker_unavailable: "The judge could not be reached, or was lost on the way.",
  worker_overloaded: "The judge has too much to do right now.",
  worker_failed: "The judge failed.",
  deadline: "Time was up before every candidate was judged.",
  candidates_failed: "Some pictures could not be judged.",
  intent_fallback: "The query was read in a simpler way than the multimodal model reads it.",
};
const EXAMPLES = ["the same but blue", "make it striped", "put it on the beach", "without it, a teapot instead"];

let reference = null; // { id } of the gallery, or { file }
let nextOffset = null;
let searching = null; // AbortController of the search under way
let answers = {}; // { coarse, result }: the same search before and after re-ranking

const element = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};

const describe = (item) => item.caption ?? item.image_id;

function choose(chosen, imageUrl) {
  reference = chosen;
  $("reference").src = imageUrl;
  $("reference").hidden = false;
  $("drop-text").textContent = "Use another image";
  window.scrollTo({ top: 0, behavior: "smooth" });
  if ($("text").value) search();
}

function card(item, score) {
  const image = element("img", { src: item.thumbnail_url, alt: describe(item), loading: "lazy" });
  const text = element("p", {}, describe(item));
  const button = element("button", { type: "button", className: "card", title: "Use as reference image" }, image, text);
  if (score) text.append(element("span", { className: "score" }, ...score.map((part) => element("span", {}, part))));
  button.addEventListener("click", () => choose({ id: item.image_id }, item.image_url));
  return button;
}

function say(sentence) {
  $("message").textContent = sentence ?? "";
  $("message").hidden = !sentence;
}

async function search(intent = null) {
  if (!reference) return say("Choose a reference image first: upload one, or pick one below.");
  searching?.abort();
  searching = new AbortController();
  const form = new FormData();
  if (reference.file) form.append("reference_image", reference.file);
  else form.append("reference_image_id", reference.id);
  form.append("modification_text", $("text").value);
  form.append("composition", $("mode").value);
  form.append("top_k", "12");
  if (intent && $("mode").value === "intersection") form.append("intent", JSON.stringify(intent));
  const mine = searching;
  $("go").disabled = true;
  $("order").hidden = $("judging").hidden = true;
  say(null);
  try {
    const response = await fetch("/search/stream", { method: "POST", body: form, signal: mine.signal });
    if (!response.ok) return say((await response.json()).detail ?? `The service answered ${response.status}.`);
    answers = {};
    remember();
    for await (const { event, data } of serverSentEvents(response.body)) TOLD[event]?.(data);
    if (!answers.result && !$("message").textContent) say("The service stopped answering before the end.");
  } catch (error) {
    if (error.name !== "AbortError") say(`The service cannot be reached: ${error.message}`);
  } finally {
    if (searching === mine) {
      $("go").disabled = false;
      $("judging").hidden = true;
    }
  }
}

// What to do at each event of a search.
const TOLD = {
  intent: (composition) => showRoles(composition.intent),
  coarse: (answer) => { answers.coarse = answer; show("coarse"); },
  progress: ({ reranked, of }) => {
    $("judging").hidden = false;
    Object.assign($("progress"), { max: of, value: reranked });
    $("judged").textContent = `judged ${reranked} of ${of}`;
  },
  result: (answer) => {
    answers.result = answer;
    $("order").hidden = !answer.coverage.reranked;
    $("order").querySelector("[value=result]").checked = true;
    show("result");
  },
  error: (problem) => say(problem.detail),
};

// A POST cannot be read with EventSource, so the few rules of the format stand here.
async function* serverSentEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s)));
      if (fields.event) yield { event: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

// A search on a gallery image has an address of its own, to be shared or bookmarked.
function remember() {
  const query = new URLSearchParams({ text: $("text").value, mode: $("mode").value });
  if (reference.id) query.set("image_id", reference.id);
  history.replaceState(null, "", reference.id ? `/?${query}` : "/");
}

function recall() {
  const query = new URLSearchParams(location.search);
  $("text").value = query.get("text") ?? "";
  if (query.has("mode")) $("mode").value = query.get("mode");
  const id = query.get("image_id");
  if (id) choose({ id }, `/images/${id.split("/").map(encodeURIComponent).join("/")}`);
}

// Shows one of the two orders; cards glide to their new places where the browser can do that.
function show(order) {
  const answer = answers[order];
  if (!answer) return;
  const still = !document.startViewTransition || matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (still) showResults(answer);
  else document.startViewTransition(() => showResults(answer));
}

function showResults(answer) {
  const judged = new Map((answers.result ?? answer).results.map((result) => [result.image_id, result.rerank_score]));
  const cards = answer.results.map((result) => {
    const { rank, retrieval_rank: was, image_id: id } = result;
    const place = was === rank ? `#${rank}` : `#${rank} (was #${was})`;
    const score = judged.get(id) ?? null;
    const number = score === null ? `score ${result.score.toFixed(3)}` : `judge ${score.toFixed(2)}`;
    const moved = was > rank ? "up" : was < rank ? "down" : "";
    const item = element("li", { className: moved }, card(result, [place, number]));
    item.style.viewTransitionName = `result-${CSS.escape(id)}`;
    return item;
  });
  $("results").replaceChildren(...cards);
  if (!cards.length) say("Nothing in the gallery fits the filter.");
  const { candidates, reranked, reasons } = answer.coverage;
  const stages = Object.entries(answer.timings_ms).map(([stage, ms]) => `${stage} ${ms.toFixed(1)} ms`);
  const done = reranked ? `, ${reranked} of them judged by ${answer.models.judge ?? "the judge"}` : "";
  $("timing").textContent = `best of ${candidates} candidates${done} — ${stages.join(" · ")}`;
  $("coverage").replaceChildren(...reasons.map((reason) => element("li", {}, REASON_WORDS[reason] ?? reason)));
}

function showRoles(intent) {
  $("roles").hidden = !intent;
  if (!intent) return;
  $("target").textContent = intent.target;
  $("source").textContent = SOURCE_WORDS[intent.source] ?? "";
  const chips = Object.keys(ROLE_WORDS).flatMap((role) => intent[role].map((phrase) => chip(role, phrase, intent)));
  const help = element("p", { className: "chips-help" }, "Remove what you do not mean; what is in no chip was dropped.");
  $("chips").replaceChildren(...chips, ...(chips.length ? [help] : []));
}

function chip(role, phrase, intent) {
  const remove = element("button", { type: "button", title: `Remove “${phrase}”`, ariaLabel: `Remove ${phrase}` }, "×");
  remove.addEventListener("click", () => {
    const { source, ...roles } = intent;
    roles[role] = roles[role].filter((other) => other !== phrase);
    // a word that is no longer kept or wanted must not stay in the target either
    if (role !== "forbidden") roles.target = roles.target.replace(phrase, " ").replace(/\s+/g, " ").trim() || intent.target;
    search(roles);
  });
  return element("span", { className: `chip ${role}` }, element("small", {}, ROLE_WORDS[role]), phrase, remove);
}

async function loadGallery() {
  const query = nextOffset ? `&offset=${nextOffset}` : "";
  const response = await fetch(`/gallery/images?limit=12${query}`);
  if (!response.ok) return say((await response.json()).detail);
  const page = await response.json();
  nextOffset = page.next_offset;
  $("more").hidden = !nextOffset;
  $("gallery").append(...page.images.map((item) => card(item)));
}

async function loadFacts() {
  const response = await fetch("/gallery");
  const facts = await response.json();
  if (!response.ok) return ($("gallery-line").textContent = facts.detail);
  const facets = facts.facets.map((facet) => facet.name).join(", ");
  const demo = facts.encoder_fingerprint.startsWith("demo-")
    ? " The demo model is small and was trained on rendered scenes like these only." : "";
  $("gallery-line").textContent = `${facts.images.toLocaleString()} images${facets ? `, described by ${facets}` : ""}.${demo}`;
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); search(); });
$("mode").addEventListener("change", () => { if (reference && $("text").value) search(); });
$("order").addEventListener("change", (event) => show(event.target.value));
$("more").addEventListener("click", loadGallery);
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) choose({ file }, URL.createObjectURL(file));
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file) choose({ file }, URL.createObjectURL(file));
  });
}
$("examples").append(...EXAMPLES.map((text) => {
  const button = element("button", { type: "button" }, text);
  button.addEventListener("click", () => { $("text").value = text; search(); });
  return button;
}));
recall();
await Promise.all([loadFacts(), loadGallery()]);
