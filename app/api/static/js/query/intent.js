// The intent as chips in four lanes, to be read and edited: removed, added, moved from lane to lane
// by button, keyboard or dragging. Every edit is told as new roles.

import { combobox } from "./combobox.js";
import { $, announce, h } from "../ui/dom.js";
import { LANES, ROLES, aimed, having, moved, replacedBy, unconditioned, without } from "../state/intent_edits.js";
import { completions, dropped as droppedOf } from "../state/gallery_schema.js";
import { SOURCES, count, origin, rangeText } from "../ui/messages.js";

let edit = () => {};
let current = null;
let refocus = null; // what had the focus before an edit, to have it again after

export function listen(edited) {
  edit = edited;
  document.addEventListener("pointerdown", (event) => {
    for (const open of document.querySelectorAll(".chip [aria-expanded=true]")) {
      if (!open.closest(".chip").contains(event.target)) closeMenu(open);
    }
  });
}

export function hide() {
  $("intent").hidden = true;
  current = null;
}

// While a query is being read: its own chips where it brings some, else the place for them, so that
// nothing below jumps when they come. What was read of another query's words never stays.
export function wait(roles, attributes) {
  if (roles) return show({ ...roles, source: "client" }, attributes);
  show({ target: "", source: "", preserve: [], desired: [], forbidden: [] }, []);
  current = null;
  for (const one of $("intent").querySelectorAll("input, .line")) one.disabled = true;
  return null;
}

// attributes: of the reference, where the gallery knows it; from them follows what is dropped.
export function show(intent, attributes) {
  if (!intent) return hide();
  current = intent;
  const within = document.activeElement.closest?.("#intent") && document.activeElement.id;
  const focusOn = refocus ?? within;
  const target = h("input", { id: "target", value: intent.target, maxlength: 200, "aria-label": "Looking for", onchange: (event) => {
    if (event.target.value.trim()) tell(aimed(current, event.target.value.trim()), "target");
  } });
  const phrases = { ...intent, dropped: attributes ? droppedOf(attributes, intent) : [] };
  const undo = intent.source === "client" ? h("button", { id: "undo", class: "quiet small", onclick: () => tell(null, "target") }, "Undo edits") : null;
  $("intent").replaceChildren(line(intent),
    h("p", { class: "target" }, h("span", {}, "Looking for"), target, h("small", { class: "soft" }, SOURCES[intent.source] ?? ""), undo),
    ...conditionsOf(intent),
    ...notes(intent),
    h("div", { class: "lanes" }, ...Object.keys(LANES).map((lane) => laneOf(lane, phrases[lane]))),
  );
  $("intent").hidden = false;
  if (focusOn) ($(focusOn) ?? document.querySelector(`#${focusOn.split("-chip")[0]} .add`) ?? target).focus({ preventScroll: true });
  refocus = null;
}

// What the numbers must be, each condition to be taken away.
function conditionsOf({ conditions = {} }) {
  const all = Object.entries(conditions);
  if (!all.length) return [];
  const remove = (name) => { announce(`condition on ${name} removed`); tell(unconditioned(current, name), "target"); };
  return [h("ul", { id: "conditions", class: "chips desired", "aria-label": "Only pictures with" }, ...all.map(([name, range]) =>
    h("li", { class: "chip" }, h("span", {}, `${name} ${rangeText(range)}`),
      h("button", { class: "remove", "aria-label": `Remove the condition on ${name}`, onclick: () => remove(name) }, "×"))))];
}

// What the target does not say: that others are as good.
function notes({ alternatives = [] }) {
  const others = alternatives.length - 1;
  return others > 0 ? [h("p", { class: "soft", id: "alternatives" }, `or ${count(others, "other picture")} as good, like “${alternatives[1]}”`)] : [];
}

const SIGNS = { preserve: "✓", desired: "+", forbidden: "✗" };

// On a phone the chips fold into one line, which opens them.
function line(intent) {
  const parts = ROLES.filter((role) => intent[role].length).map((role) =>
    h("span", { class: `tag ${role}` }, h("span", { class: "unseen" }, `${LANES[role].title}: `), h("span", { "aria-hidden": "true" }, `${SIGNS[role]} `), intent[role].join(", ")));
  const open = () => button.setAttribute("aria-expanded", String($("intent").classList.toggle("open")));
  const button = h("button", { id: "line", class: "line", "aria-expanded": String($("intent").classList.contains("open")), onclick: open }, ...(parts.length ? parts : [intent.target || "reading …"]));
  return button;
}

function tell(roles, focusOn) {
  refocus = focusOn;
  edit(roles);
}

function laneOf(lane, phrases) {
  const { title, help } = LANES[lane];
  const list = h("ul", { class: "chips", "aria-labelledby": `lane-${lane}-title` }, ...phrases.map((phrase, at) => chip(lane, phrase, at)));
  const node = h("div", { class: `lane ${lane}`, id: `lane-${lane}`,
    ondragover: (event) => { event.preventDefault(); node.classList.add("over"); },
    ondragleave: () => node.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      node.classList.remove("over");
      const { from, phrase } = JSON.parse(event.dataTransfer.getData("application/json") || "{}");
      if (phrase && from !== lane) move(from, lane, phrase);
    } },
    h("h2", { id: `lane-${lane}-title` }, title, " ", h("small", {}, help)), list, ROLES.includes(lane) ? adder(lane) : null,
    lane === "dropped" && !phrases.length ? h("p", { class: "soft" }, "whatever no chip names") : null);
  return node;
}

function move(from, to, phrase) {
  announce(`${phrase}: ${LANES[to].title.toLowerCase()}`);
  tell(moved(current, from, to, phrase), `lane-${to}-chip-0`);
}

function remove(lane, phrase, at) {
  announce(`${phrase} removed`);
  tell(without(current, lane, phrase), `lane-${lane}-chip-${Math.max(0, at - 1)}`);
}

function chip(lane, phrase, at) {
  const old = lane === "desired" && replacedBy(current, phrase);
  const menuId = `lane-${lane}-menu-${at}`;
  const others = ROLES.filter((role) => role !== lane);
  const item = (label, act) => h("button", { role: "menuitem", tabindex: "-1", onclick: act }, label);
  const menu = h("div", { role: "menu", id: menuId, class: "menu", hidden: true, "aria-label": phrase },
    ...others.map((role) => item(`Make it ${LANES[role].title.toLowerCase()}`, () => move(lane, role, phrase))),
    ...(lane === "dropped" ? [] : [item("Remove", () => remove(lane, phrase, at))]));
  const main = h("button", { id: `lane-${lane}-chip-${at}`, "aria-haspopup": "menu", "aria-expanded": "false", "aria-controls": menuId,
    onclick: () => toggleMenu(main, menu) }, phrase, old ? h("small", {}, `instead of ${old}`) : null);
  const node = h("li", { class: "chip", draggable: "true",
    ondragstart: (event) => event.dataTransfer.setData("application/json", JSON.stringify({ from: lane, phrase })) }, main);
  const from = current?.provenance?.find((one) => one.role === lane && one.phrase === phrase);
  if (from && from.source !== "client") {
    const { mark, sentence } = origin(from);
    node.append(h("small", { class: "origin", id: `${main.id}-origin`, title: sentence }, mark));
    main.setAttribute("aria-describedby", `${main.id}-origin`);
  }
  if (lane !== "dropped") {
    node.append(h("button", { class: "remove", tabindex: "-1", "aria-label": `Remove ${phrase}`, onclick: () => remove(lane, phrase, at) }, "×"));
  }
  node.append(menu);
  node.addEventListener("keydown", (event) => onKey(event, main, menu, () => lane !== "dropped" && remove(lane, phrase, at)));
  return node;
}

function toggleMenu(main, menu) {
  if (!menu.hidden) return closeMenu(main);
  menu.hidden = false;
  main.setAttribute("aria-expanded", "true");
  return menu.firstElementChild.focus();
}

function closeMenu(main) {
  main.setAttribute("aria-expanded", "false");
  main.closest(".chip").querySelector(".menu").hidden = true;
}

function onKey(event, main, menu, removeIt) {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement);
  if (event.key === "Escape" && !menu.hidden) { closeMenu(main); main.focus(); }
  else if (event.key === "Tab" && !menu.hidden) { closeMenu(main); return; }
  else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && menu.hidden) toggleMenu(main, menu);
  else if (event.key === "ArrowDown") items[(at + 1) % items.length].focus();
  else if (event.key === "ArrowUp") items[(at - 1 + items.length) % items.length].focus();
  else if (event.key === "Delete" || event.key === "Backspace") removeIt();
  else return;
  event.preventDefault();
}

function adder(lane) {
  const input = h("input", { id: `add-${lane}`, class: "add", size: 8, maxlength: 200, placeholder: "+ add", "aria-label": `Add to ${LANES[lane].title.toLowerCase()}` });
  const add = () => {
    const phrase = input.value.trim();
    if (phrase) tell(having(current, lane, phrase), `add-${lane}`);
  };
  const box = h("div", { class: "combobox" }, input);
  combobox(input, (typed) => completions(typed.trim()).map(({ value, facet }) => ({ value, hint: facet.name, start: 0 })), add);
  input.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.defaultPrevented) { event.preventDefault(); add(); } });
  return box;
}
