// Where the encoder sees a phrase: a grid of relevance from `GET /explain`, painted over a picture
// as light and shade.

import { getJson } from "../api.js";
import { count } from "../ui/messages.js";

const SHADE = [8, 12, 28];
const DARKEST = 0.78;
const FAINT = 0.4; // a share that is not lit in full even where a map has no more: noise is no find

export function relevance(imageId, phrase, signal) {
  return getJson("/explain", { image_id: imageId, phrase }, signal);
}

// Paints a grid over an image; the canvas must lie exactly on it.
export function paint(canvas, image, { relevance: grid, rows, columns, box: [left, top, right, bottom] }) {
  const full = Math.max(FAINT, ...grid.flat());
  const small = new OffscreenCanvas(columns, rows);
  const pixels = new ImageData(columns, rows);
  grid.flat().forEach((share, at) => {
    const shade = DARKEST * (1 - share / full);
    pixels.data.set([...SHADE, Math.round(255 * shade)], 4 * at);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const to = canvas.getContext("2d");
  to.imageSmoothingQuality = "high";
  const [width, height] = [canvas.width, canvas.height];
  // what the encoder never saw, because its input is square, stays in the dark
  to.fillStyle = `rgb(${SHADE} / ${DARKEST})`;
  to.fillRect(0, 0, width, height);
  to.clearRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  to.drawImage(small, left * width, top * height, (right - left) * width, (bottom - top) * height);
}

// What a map says, in words: for those who cannot see it, and against reading too much into it.
export function sentence({ phrase, against, relevance: grid, rows, columns }) {
  const flat = grid.flat();
  const peak = Math.max(...flat);
  if (peak < 2 / (against.length + 1)) return `“${phrase}” is seen nowhere in particular.`;
  const at = flat.indexOf(peak);
  const down = ["at the top", "in the middle", "at the bottom"][Math.floor((3 * Math.floor(at / columns)) / rows)];
  const across = ["left", "centre", "right"][Math.floor((3 * (at % columns)) / columns)];
  const others = against.slice(0, 3).join(", ");
  return `“${phrase}” is seen most ${down}, ${across} (${Math.round(100 * peak)} % there, against ${others}${against.length > 3 ? ` and ${count(against.length - 3, "other")}` : ""}).`;
}
