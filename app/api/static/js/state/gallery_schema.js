// The gallery's own words: which facets there are, and which of their values a phrase names.

let facts = { facets: [], noun_facet: null, explains: false, default_composition: "intersection", max_top_k: 12, images: 0, encoder_fingerprint: "" };
let words = []; // { facet, value, pattern }, longest first

export function learn(gallery) {
  facts = gallery;
  words = keywordFacets().flatMap((facet) => facet.values.map((value) => ({ facet, value, pattern: whole(value) })));
  words.sort((a, b) => b.value.length - a.value.length);
}

export const gallery = () => facts;
export const keywordFacets = () => facts.facets.filter((facet) => facet.kind === "keyword" && facet.values.length);
export const numberFacets = () => facts.facets.filter((facet) => facet.kind === "number");
export const isNoun = (facet) => facet.name === facts.noun_facet;

const whole = (value) => new RegExp(`(?<![\\p{L}\\p{N}])${value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?![\\p{L}\\p{N}])`, "iu");

// All values a phrase names, as { facet, value }.
export const valuesIn = (phrase) => words.filter((word) => word.pattern.test(phrase));
export const exactly = (phrase) => words.find((word) => word.value.toLowerCase() === phrase.trim().toLowerCase());

// Up to eight values that begin like what is being typed.
export function completions(typed) {
  const start = typed.toLowerCase();
  if (!start) return [];
  const fitting = words.filter(({ value }) => value.toLowerCase().split(/\s+/).some((word) => word.startsWith(start)) && value.toLowerCase() !== start);
  return fitting.sort((a, b) => a.value.localeCompare(b.value)).slice(0, 8);
}

export const valuesOf = (attributes, name) => [attributes?.[name] ?? []].flat().map(String);

// What the roles say of an image's attributes: value → role, for every value a phrase names.
export function marks(attributes, roles) {
  const said = rolesOfValues(roles);
  const found = new Map();
  for (const { name } of keywordFacets()) {
    for (const value of valuesOf(attributes, name)) {
      if (said.has(`${name}=${value}`)) found.set(`${name}=${value}`, said.get(`${name}=${value}`));
    }
  }
  return found;
}

// Whether an image's attributes have all that is kept and wanted and nothing unwanted; null where
// the roles name none of the gallery's values.
export function fits(attributes, roles) {
  const said = [...rolesOfValues(roles)];
  if (!said.length) return null;
  return said.every(([key, role]) => {
    const [name, ...value] = key.split("=");
    return valuesOf(attributes, name).includes(value.join("=")) === (role !== "forbidden");
  });
}

// facet=value → role; what is kept or wanted of one thing is not ruled out by another's role.
function rolesOfValues(roles) {
  const said = new Map();
  for (const role of ["forbidden", "preserve", "desired"]) {
    for (const phrase of roles?.[role] ?? []) {
      for (const { facet, value } of valuesIn(phrase)) said.set(`${facet.name}=${value}`, role);
    }
  }
  return said;
}

// What the reference shows and no role speaks of: it has no part in the search.
export function dropped(attributes, roles) {
  const said = rolesOfValues(roles);
  return keywordFacets().flatMap(({ name }) =>
    valuesOf(attributes, name).filter((value) => !said.has(`${name}=${value}`)));
}
