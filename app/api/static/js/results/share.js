// A query to take away: as an address, as a curl command, as Python.

import { searchFields } from "../api.js";
import { toAddress } from "../state/url.js";
import { $, announce, h } from "../ui/dom.js";

export function open(query) {
  const uploaded = Boolean(query.reference.file);
  const dialog = $("sharing");
  const close = () => dialog.close();
  dialog.replaceChildren(
    h("div", { class: "dialog-top" }, h("h2", { id: "sharing-title" }, "Share this search"), h("button", { class: "quiet small", "aria-label": "Close", onclick: close }, "✕")),
    uploaded ? h("p", { class: "soft" }, "Your own picture is not part of an address; put its file's name into the commands.") : copyable("Link", location.origin + toAddress(query)),
    copyable("curl", curl(query)),
    copyable("Python", python(query)),
  );
  dialog.onclick = (event) => { if (event.target === dialog) close(); };
  dialog.showModal();
}

function copyable(title, text) {
  const block = h("pre", { tabindex: "0", "aria-label": title }, text);
  const button = h("button", { class: "quiet small", "aria-label": `Copy ${title}`, onclick: () => copy(text, block, button) }, "Copy");
  return h("section", {}, h("h3", {}, title, button), block);
}

async function copy(text, block, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    announce("copied");
  } catch { // no clipboard for pages that are neither local nor https: at least select it
    getSelection().selectAllChildren(block);
    button.textContent = "Selected: now press Ctrl+C";
  }
}

// The request as JSON; an upload's place is taken by its file's name.
function body(query) {
  const { reference_image_id: id, reference_image: _, ...options } = searchFields({ ...query, reference: query.reference.id ? query.reference : { file: true } });
  return { ...(id ? { reference_image: { image_id: id } } : {}), ...options };
}

export function curl(query) {
  if (query.reference.file) {
    // not -F, which reads more into a text than its words: ";" and "@" have a meaning there
    const fields = Object.entries(body(query)).map(([name, value]) => `--form-string ${quoted(`${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)}`);
    return [`curl -s ${location.origin}/search`, `-F ${quoted(`reference_image=@${JSON.stringify(query.reference.name || "picture.jpg")}`)}`, ...fields].join(" \\\n  ");
  }
  return `curl -s ${location.origin}/search -H 'content-type: application/json' \\\n  -d ${quoted(JSON.stringify(body(query)))}`;
}

const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

export function python(query) {
  const file = query.reference.file;
  const fields = file ? Object.fromEntries(Object.entries(body(query)).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : value])) : body(query);
  const sent = file ? `    data=query,\n    files={"reference_image": open(${JSON.stringify(query.reference.name || "picture.jpg")}, "rb")},` : "    json=query,";
  return `import httpx\n\ntrue, false, null = True, False, None\nquery = ${JSON.stringify(fields)}\nanswer = httpx.post(\n    "${location.origin}/search",\n${sent}\n    timeout=30,\n).raise_for_status().json()\nfor result in answer["results"]:\n    print(result["rank"], result["image_id"], result["score"])\n`;
}
