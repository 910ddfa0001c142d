// A query as an address, to be shared, bookmarked and gone back to.
//
// query = { reference: null | { id } | { upload }, text, mode, rerank, roles, filter, top, view, trail }
// `mode` is null until the page knows how the service composes (`settled`).
// `roles` are there only where they were edited. `trail` holds the steps before this one.
// An uploaded picture has no address: it is remembered under a number until the page is left.

import { gallery } from "./gallery_schema.js";
import { ROLES } from "./intent_edits.js";
import { MODES } from "../ui/messages.js";

export const EMPTY = {
  reference: null, text: "", mode: null, rerank: true, roles: null, filter: {}, top: 12,
  view: "results", trail: [],
};

const uploads = new Map(); // number → { file, url, name }

export function remember(upload) {
  const number = uploads.size + 1;
  uploads.set(number, upload);
  return { upload: number, ...upload };
}

export function toAddress(query) {
  const fields = new URLSearchParams();
  if (query.reference?.id) fields.set("image_id", query.reference.id);
  if (query.text) fields.set("text", query.text);
  if (query.mode && query.mode !== gallery().default_composition) fields.set("mode", query.mode);
  if (!query.rerank) fields.set("rerank", "off");
  if (query.roles) fields.set("intent", JSON.stringify(query.roles));
  if (Object.keys(query.filter).length) fields.set("filter", JSON.stringify(query.filter));
  if (query.top !== EMPTY.top) fields.set("top", query.top);
  if (query.view !== "results") fields.set("view", query.view);
  const steps = query.trail.filter((step) => step.reference.id).map((step) => [step.reference.id, step.text]);
  if (steps.length) fields.set("trail", JSON.stringify(steps));
  const text = fields.toString();
  return text ? `/?${text}` : "/";
}

// An address → { query, ignored }: the names of the parameters that say nothing a query can hold.
// Anybody can write an address, so nothing of it is taken as it comes.
export function fromAddress(search) {
  const fields = new URLSearchParams(search);
  const given = Object.keys(READ).filter((name) => fields.has(name));
  const read = Object.fromEntries(given.map((name) => [name, READ[name](fields.get(name))]));
  return { query: Object.assign({ ...EMPTY }, ...Object.values(read)), ignored: given.filter((name) => !read[name]) };
}

const isText = (value) => typeof value === "string" && value.trim() !== "";
const areTexts = (value) => Array.isArray(value) && value.every(isText);
const isObject = (value) => value?.constructor === Object;
const isPlain = (value) => ["string", "boolean", "number"].includes(typeof value);
const isRange = (value) => isObject(value) && Object.values(value).every(Number.isFinite) && !(value.gte > value.lte);
const isCondition = (value) => (Array.isArray(value) ? value.every(isPlain) : isPlain(value) || isRange(value));

function json(read) {
  return (said) => {
    try {
      return read(JSON.parse(said));
    } catch {
      return null;
    }
  };
}

// parameter → what it says of a query, if anything
const READ = {
  image_id: (id) => isText(id) && { reference: { id } },
  text: (text) => ({ text }),
  mode: (mode) => Object.hasOwn(MODES, mode) && { mode },
  rerank: (rerank) => ["on", "off"].includes(rerank) && { rerank: rerank === "on" },
  intent: json((roles) => isText(roles.target) && ROLES.every((role) => areTexts(roles[role] ??= []))
    && isObject(roles.conditions ?? {}) && Object.values(roles.conditions ?? {}).every(isRange) && { roles }),
  filter: json((filter) => isObject(filter) && Object.values(filter).every(isCondition) && { filter }),
  top: (top) => /^[1-9]\d?$/.test(top) && top <= 96 && { top: Number(top) },
  view: (view) => ["results", "compare", "browse"].includes(view) && { view },
  trail: json((steps) => steps.every((step) => areTexts(step) && step.length === 2)
    && { trail: steps.map(([id, text]) => ({ ...EMPTY, reference: { id }, text })) }),
};

// The query with the mode it has where it names none: edited roles are those of an intersection.
export const settled = (query) => ({ ...query, mode: query.mode ?? (query.roles ? "intersection" : gallery().default_composition) });

// What the history keeps: it cannot hold a file, so uploads go in by number.
export const toHistory = (query) => ({ ...query, reference: bare(query.reference), trail: query.trail.map((step) => ({ ...step, reference: bare(step.reference) })) });

export function fromHistory(kept) {
  const trail = kept.trail.map((step) => ({ ...step, reference: whole(step.reference) }));
  return { ...kept, reference: whole(kept.reference), trail: trail.filter((step) => step.reference) };
}

const bare = (reference) => (reference?.upload ? { upload: reference.upload } : reference && { id: reference.id });
const whole = (reference) => {
  if (!reference?.upload) return reference;
  const upload = uploads.get(reference.upload);
  return upload ? { upload: reference.upload, ...upload } : null; // null: from before a reload
};
