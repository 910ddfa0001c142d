// Small helpers for the DOM; everything else on the page builds on these.

export const $ = (id) => document.getElementById(id);

// h("button", { class: "quiet", "aria-label": "Remove", onclick: f }, "×"): an element in one call.
// Functions become listeners, true and false set and unset, everything else is an attribute.
// A button submits nothing.
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (tag === "button") node.type = "button";
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// For those who hear the page instead of seeing it.
export function announce(sentence) {
  $("announce").textContent = sentence;
}

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const toTop = (node = document.body) => node.scrollIntoView({ behavior: still() ? "instant" : "smooth" });

export const describe = (item) => item.caption ?? item.image_id;

// A gallery thumbnail: sized before it is there, so that nothing jumps when it comes.
export const thumbnail = (item, alt = describe(item)) =>
  h("img", { src: item.thumbnail_url, alt, width: 256, height: 256, loading: "lazy", decoding: "async" });
