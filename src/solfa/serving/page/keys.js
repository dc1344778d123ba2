// All keys of the page, on a sheet that "?" opens.

import { h } from "./dom.js";
import { buildSheet } from "./sheets.js";

const KEYS = [
  [["/"], "to the search box"],
  [["↑", "↓"], "from row to row, and back to the box"],
  [["Enter"], "search; on a row: play from the stretch that fits"],
  [["Space"], "pause and go on"],
  [["←", "→"], "five seconds back and on"],
  [["n"], "next track"],
  [["p"], "the track from its beginning; again: the one before"],
  [["m"], "silence, and sound again"],
  [["l"], "like what is heard, or no longer"],
  [["q"], "what comes next"],
  [["Esc"], "close this, empty the box, or leave a track or the map"],
  [["?"], "this sheet"],
];

let sheet = null;

export function buildKeys(button) {
  const line = ([keys, words]) => [h("dt", {}, keys.map((key) => h("kbd", {}, key))), h("dd", {}, words)];
  sheet = buildSheet("Keys", h("dl", {}, KEYS.flatMap(line)));
  button.addEventListener("click", showKeys);
}

export function showKeys() {
  if (!sheet.open) sheet.showModal();
  return true;
}
