// The public HTTP interface, and nothing else of the service.

import { gallery } from "./state/gallery_schema.js";
import { refused } from "./ui/messages.js";

// Anything that went wrong, with a stable word for what it was and a sentence about it.
export class Problem extends Error {
  constructor(type, sentence, retryAfter = null) {
    super(sentence);
    Object.assign(this, { type, retryAfter });
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("network", "The service does not answer.");
  }
}

async function answered(response) {
  if (response.ok) return response;
  const retry = Number(response.headers.get("retry-after")) || null;
  const body = await response.json().catch(() => ({}));
  const type = (body.type ?? "").replace("urn:cir:", "") || "internal";
  throw new Problem(type, body.errors ? refused(body.errors) : body.detail ?? `The service answered ${response.status}.`, retry);
}

export async function getJson(path, parameters = {}, signal = undefined) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  const query = new URLSearchParams(given);
  return (await answered(await reach(given.length ? `${path}?${query}` : path, { signal }))).json();
}

// As the service itself makes addresses: slashes stay, unless they would be a step to another folder.
function addressOf(id) {
  const parts = id.split("/");
  return parts.map(encodeURIComponent).join(parts.some((part) => part === "." || part === "..") ? "%2F" : "/");
}

export const imagePath = (id) => `/images/${addressOf(id)}`;
export const itemPath = (id) => `/gallery${imagePath(id)}`;

// A query → the form that `POST /search` takes; see `state/url.js` for what a query is.
export function searchForm(query, changes = {}) {
  const form = new FormData();
  for (const [name, value] of Object.entries({ ...searchFields(query), ...changes })) {
    form.append(name, typeof value === "object" && !(value instanceof Blob) ? JSON.stringify(value) : value);
  }
  return form;
}

export function searchFields({ reference, text, mode, rerank, roles, filter, top }) {
  return {
    ...(reference.file ? { reference_image: reference.file } : { reference_image_id: reference.id }),
    modification_text: text,
    composition: mode,
    top_k: Math.min(top, gallery().max_top_k),
    ...(roles && mode === "intersection" ? { intent: roles } : {}),
    ...(Object.keys(filter).length ? { filter } : {}),
    ...(rerank ? {} : { rerank_depth: 0 }),
  };
}

export async function search(form, signal) {
  return (await answered(await reach("/search", { method: "POST", body: form, signal }))).json();
}

// One search as it happens: yields { event, data } until its end.
export async function* searchStream(form, signal) {
  const response = await answered(await reach("/search/stream", { method: "POST", body: form, signal }));
  let ended = false;
  try {
    for await (const message of serverSentEvents(response.body)) {
      ended ||= message.event === "result" || message.event === "error";
      yield message;
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (!ended) throw new Problem("network", "The service stopped answering before the end.");
}

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
