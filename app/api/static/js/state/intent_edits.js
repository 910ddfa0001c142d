// Editing an intent: functions from roles to roles. The target follows what is kept and wanted,
// because the search looks for the target above all.

import { exactly, isNoun } from "./gallery_schema.js";

export const ROLES = ["preserve", "desired", "forbidden"];
export const LANES = {
  preserve: { title: "Kept", help: "of the picture" },
  desired: { title: "Wanted", help: "by the text" },
  forbidden: { title: "Unwanted", help: "ruled out" },
  dropped: { title: "Dropped", help: "has no part" },
};

// `conditions` (numeric attribute → range) are there where the words ask for some.
const bare = ({ target, preserve, desired, forbidden, conditions = {} }) => ({
  target, preserve, desired, forbidden, ...(Object.keys(conditions).length ? { conditions } : {}),
});

export function without(roles, role, phrase) {
  const left = { ...bare(roles), [role]: roles[role].filter((other) => other !== phrase) };
  return role === "forbidden" ? left : { ...left, target: takenOut(left, phrase) };
}

export function having(roles, role, phrase) {
  if (roles[role].includes(phrase)) return bare(roles);
  const more = { ...bare(roles), [role]: [...roles[role], phrase] };
  return role === "forbidden" ? more : { ...more, target: putIn(more.target, phrase) };
}

export function moved(roles, from, to, phrase) {
  const left = ROLES.includes(from) ? without(roles, from, phrase) : bare(roles);
  return ROLES.includes(to) ? having(left, to, phrase) : left;
}

export function unconditioned(roles, name) {
  const { [name]: _, ...conditions } = roles.conditions;
  return bare({ ...roles, conditions });
}

export const aimed = (roles, target) => ({ ...bare(roles), target });

// The phrase that a wanted one stands in for: "orange" for "green", both being colours.
export function replacedBy(roles, phrase) {
  const facet = exactly(phrase)?.facet;
  return facet && roles.forbidden.find((other) => exactly(other)?.facet === facet);
}

function takenOut(roles, phrase) {
  const at = roles.target.toLowerCase().indexOf(phrase.toLowerCase());
  const rest = at < 0 ? roles.target : roles.target.slice(0, at) + roles.target.slice(at + phrase.length);
  const tidy = tidied(rest.replace(/\b(and|with|an?|the)\s*$/i, ""));
  // a target must say something: when the last word goes, the roles that are left speak for it
  return /[\p{L}\p{N}]{2}/u.test(tidy) ? tidy : [...roles.desired, ...roles.preserve].join(" ") || "anything";
}

function putIn(target, phrase) {
  if (target.toLowerCase().includes(phrase.toLowerCase())) return target;
  const word = exactly(phrase);
  const describes = word && !isNoun(word.facet) && !word.facet.context;
  const article = /^(an?|the)\s+/i.exec(target)?.[0] ?? "";
  if (describes) return tidied(`${article}${phrase} ${target.slice(article.length)}`);
  return tidied(`${target} ${word?.facet.context ? "" : "and "}${phrase}`);
}

// "a orange  bag" → "an orange bag"
const tidied = (text) => text.replace(/\s+/g, " ").trim()
  .replace(/\ban?(?= [aeiou])/gi, "an").replace(/\ban(?= [^aeiou\s])/gi, "a");
