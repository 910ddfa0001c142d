// An input that suggests: the ARIA combobox pattern with a listbox, for keyboard and pointer.
//
// suggest(text before the caret) gives [{ value, hint, start }]: taking one replaces the text from
// `start` to the caret. Enter takes the marked suggestion and does what it always does where none
// is marked; Escape closes the list first.

import { h } from "../ui/dom.js";

export function combobox(input, suggest, taken = () => {}) {
  const id = `${input.id}-suggestions`;
  const list = h("ul", { role: "listbox", id, class: "suggestions", "aria-label": "Suggestions", hidden: true });
  input.after(list);
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": id, autocomplete: "off" })) {
    input.setAttribute(name, value);
  }
  let offered = [];
  let marked = -1;

  function show() {
    offered = document.activeElement === input ? suggest(input.value.slice(0, input.selectionStart)) : [];
    list.replaceChildren(...offered.map(({ value, hint }, index) =>
      h("li", { role: "option", id: `${id}-${index}`, "aria-selected": "false", onpointerdown: (event) => { event.preventDefault(); take(index); } },
        value, hint ? h("small", {}, hint) : null)));
    list.hidden = !offered.length;
    input.setAttribute("aria-expanded", String(offered.length > 0));
    mark(-1);
  }

  function mark(index) {
    marked = index;
    [...list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
    list.children[index]?.scrollIntoView({ block: "nearest" });
    if (index < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `${id}-${index}`);
  }

  function close() {
    offered = [];
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
  }

  function take(index) {
    const { value, start } = offered[index];
    const caret = input.selectionStart;
    input.value = input.value.slice(0, start) + value + input.value.slice(caret);
    input.setSelectionRange(start + value.length, start + value.length);
    close();
    taken(value);
  }

  input.addEventListener("input", show);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const open = offered.length > 0;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && !open) show();
    else if (step) mark((marked + step + offered.length + (marked < 0 && step < 0 ? 1 : 0)) % offered.length);
    else if (event.key === "Enter" && open && marked >= 0) take(marked);
    else if (event.key === "Escape" && open) close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return { close };
}
