// The reference image: uploaded, photographed, pasted, dropped, or of the gallery.

import { getJson, imagePath, itemPath } from "../api.js";
import { remember } from "../state/url.js";
import { $, describe } from "../ui/dom.js";

const LARGE_BYTES = 1_500_000;
const SENT_PX = 1600; // no model looks at more; a phone's photograph goes up in a second

// Calls chosen(reference) for each picture that is brought, failed(sentence) for what is none.
export function listen(chosen, failed) {
  const bring = async (file) => {
    if (!file) return;
    try {
      chosen(remember(await prepared(file)));
    } catch (error) {
      failed(error.message);
    }
  };
  $("choose").addEventListener("click", () => $("file").click());
  for (const id of ["file", "camera"]) {
    $(id).addEventListener("change", (event) => { bring(event.target.files[0]); event.target.value = ""; });
  }
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) { event.preventDefault(); bring(file); }
  });
  // the whole page takes a dropped picture: who misses the frame must not leave the page
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      $("slot").classList.toggle("over", kind === "dragover");
      if (kind === "drop") bring(event.dataTransfer.files[0]);
    });
  }
}

// A file → what is sent and shown: large pictures are sent smaller, upright.
async function prepared(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) {
    const what = file.type.startsWith("image/") ? "is broken, or of a kind that this browser cannot open" : "is not a picture";
    throw new Error(`${file.name || "This file"} ${what}. JPEG, PNG, WebP, GIF, BMP and AVIF will do; a phone's HEIC does once it is saved as JPEG.`);
  }
  const scale = SENT_PX / Math.max(bitmap.width, bitmap.height);
  // a gallery's own file goes up as it is, so that the service knows it again
  if (file.size <= LARGE_BYTES && scale > 0.5) return { file, url: URL.createObjectURL(file), name: file.name };
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * Math.min(1, scale)), Math.round(bitmap.height * Math.min(1, scale)));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const smaller = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
  return { file: smaller, url: URL.createObjectURL(smaller), name: file.name };
}

export const urlOf = (reference) => reference.url ?? reference.item?.image_url ?? imagePath(reference.id);
export const nameOf = (reference) => (reference.item ? describe(reference.item) : reference.id ?? reference.name ?? "your picture");

export function show(reference) {
  $("slot").classList.toggle("filled", Boolean(reference));
  $("reference").hidden = $("clear").hidden = !reference;
  $("slot-text").hidden = $("how").hidden = Boolean(reference);
  if (!reference) return;
  if ($("reference").getAttribute("src") !== urlOf(reference)) $("reference").src = urlOf(reference);
  $("reference").alt = `Reference image: ${nameOf(reference)}`;
}

// What the gallery knows of a reference that came by address: its attributes say what is dropped.
export async function known(reference) {
  if (!reference?.id || reference.item) return reference;
  return { ...reference, item: await getJson(itemPath(reference.id)) };
}
