// What the service's stable words mean, in sentences.

export const SOURCES = {
  facets: "read with the gallery's own words",
  mllm: "composed by the reranker",
  client: "as you edited it",
  none: "the gallery has no words to read pictures with, so this is a plain sum of image and text",
};

const REASONS = {
  rerank_disabled: "No reranker is set up, so this is the order of the vector search.",
  reranker_unavailable: "The reranker cannot be reached, or was lost on the way: what it did not see keeps its place.",
  reranker_overloaded: "The reranker has too much to do right now: what it did not see keeps its place. Try again in a moment.",
  reranker_failed: "The reranker failed on this search: what it did not see keeps its place.",
  reranker_untrusted: "The reranker failed its self-test, so it is not asked.",
  deadline: "Time was up before the reranker had seen every candidate.",
  candidates_failed: "Some pictures could not be scored; they keep their places.",
  not_understood: "Some words had no effect; they are underlined, with what comes nearest.",
  nothing_fits: "Nothing in the gallery fits: these only come near.",
  intent_fallback: "The query was read in a simpler way than the reranker reads it.",
};
export const reason = (word) => REASONS[word] ?? word;

export const MODES = {
  intersection: { title: "Intersection", help: "what the text needs of the picture" },
  union: { title: "Union", help: "everything of both" },
  text: { title: "Text alone", help: "the picture is not looked at" },
  image: { title: "Image alone", help: "the words are not heard" },
};

// What to do about a problem, beyond the service's own sentence about it.
const ADVICE = {
  network: "Is it running? `python -m app` starts it; this page goes on where it was.",
  "too-large": "A smaller copy will do: no model looks at more than a few hundred pixels.",
  "unknown-image": "The gallery may have been built anew since; choose another picture.",
  "invalid-filter": "Take the filter away, or choose other values.",
  "deadline-exceeded": "The machine is busy; try again.",
  overloaded: "Try again in a second.",
};
export const advice = (type) => ADVICE[type] ?? "";

export const STAGES = {
  upload: "upload", decode: "reading the picture", embed: "encoder", intent: "understanding", retrieve: "vector search", rerank: "reranker",
};

// What the service says of single fields is written for programs.
const FIELDS = {
  filter: "the filter", intent: "the edited chips", phrase: "this phrase", modification_text: "these words",
  reference_image: "this picture", reference_image_id: "this picture", image_id: "this picture", top_k: "so many results",
};
export function refused(errors) {
  const parts = errors.map(({ field }) => FIELDS[field.split(".").find((part) => FIELDS[part])] ?? "this request");
  return `The service cannot work with ${[...new Set(parts)].join(" and ")}.`;
}

export const ended = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

const BOUNDS = { gte: "at least", gt: "over", lte: "at most", lt: "under" };

// { gte: 20, lt: 50 } → "at least 20, under 50"
export const rangeText = (range) => Object.entries(BOUNDS).filter(([bound]) => range[bound] !== undefined)
  .map(([bound, word]) => `${word} ${range[bound].toLocaleString("en")}`).join(", ");

const LINKS = {
  synonym: "another word for it", spelling: "taken for a slip in its spelling", colour: "a shade of it", meaning: "near to it in meaning",
};

// Where a phrase of an intent comes from: a mark for its chip, and a sentence.
export function origin({ source, confidence, said, how, phrase }) {
  const percent = confidence === null ? "" : `${Math.round(100 * confidence)} %`;
  if (source === "known") return { mark: "label", sentence: "from the labels of the picture" };
  if (source === "read") return { mark: `seen ${percent}`, sentence: percent ? `seen in the picture, ${percent} sure` : "seen in the picture" };
  if (how === "word" || said.text.toLowerCase() === phrase.toLowerCase()) return { mark: "your words", sentence: `you said “${said.text}”` };
  return { mark: `“${said.text}”`, sentence: `you said “${said.text}”: ${LINKS[how]}, ${percent} sure` };
}
