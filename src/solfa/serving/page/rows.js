// Rows of tracks, with what matched in each.

import { byline, clock, counted, h, icon } from "./dom.js";
import { heart, kept, onLikes, toggleLike } from "./kept.js";
import { menuButton } from "./menu.js";
import { addToQuery } from "./mix.js";
import { player } from "./player.js";
import { saveTracks } from "./save.js";
import { listen, playButton, wave } from "./wave.js";

const FULL = 4; // standard deviations that fill the bar
let pathStart = null; // where a path was to begin

// Matches, or tracks as matches of themselves. Who plays one of them hears those below it afterwards.
// `edits` gives further choices about a track of the list and its place.
export function rows(matches, label, kind = "rows", edits = () => []) {
  const list = h("ol", { class: kind, "aria-label": label });
  list.tracks = [];
  list.add = (more) => {
    list.tracks.push(...more.map(({ track }) => track));
    list.append(...more.map((match) => row(match, () => list.tracks, edits)));
  };
  list.add(matches);
  return list;
}

function row(match, among, edits) {
  const { track } = match;
  const hasMatch = match.fit !== undefined;
  const start = () => (hasMatch ? match.start : 0);
  const from = hasMatch ? ` from ${clock(match.start)}` : "";
  const picture = wave(track, hasMatch ? match : null, among);
  const element = h(
    "li",
    { class: "row", "data-id": track.id },
    playButton(track, start, `Play ${track.title}${from}`, among),
    h(
      "div",
      { class: "words" },
      h("a", { class: "title", href: `#/track/${track.id}` }, track.title),
      h("span", { class: "by" }, byline(track)),
    ),
    picture,
    h(
      "div",
      { class: "facts" },
      hasMatch
        ? h("span", { class: "at" }, h("span", { class: "unseen" }, "Best from "), `${clock(match.start)}–${clock(match.end)}`)
        : h("span", { class: "at" }, clock(track.seconds)),
      hasMatch ? worth(match) : h("span", { class: "number" }, `no. ${track.id}`),
    ),
    h(
      "div",
      { class: "acts" },
      heart(() => track),
      h("a", { class: "act more", href: `#/search?q=${track.id}`, "aria-label": `More like ${track.title}`, title: `More like this (${track.id})` }, icon("like")),
      menuButton(`More about ${track.title}`, () => [...choices(track), ...edits(track, [...element.parentNode.children].indexOf(element))]),
    ),
  );
  listen(element, () => {
    const isCurrent = player.isAt(track);
    if (isCurrent || element.dataset.current) picture.redraw();
    if (isCurrent) element.dataset.current = "1";
    else delete element.dataset.current;
  });
  if (player.isAt(track)) element.dataset.current = "1";
  onLikes(element, () => element.toggleAttribute("data-liked", kept.likes.has(track.id)));
  return element;
}

// What can be done with a track.
function choices(track) {
  return [
    ["next", "Play next", () => player.add(track, true)],
    ["queue", "Play later", () => player.add(track, false)],
    ...(kept.isEditable ? [["heart", kept.likes.has(track.id) ? "Like no longer" : "Like", () => toggleLike(track)]] : []),
    ["list", "Save in a playlist", () => saveTracks([track], track.title)],
    ["plus", "More of it in the query", () => addToQuery(track, "+")],
    ["minus", "Less of it in the query", () => addToQuery(track, "-")],
    ["like", "More like this", () => (location.hash = `#/search?q=${track.id}`)],
    ["path", "A path from here", () => { pathStart = track.id; location.hash = `#/explore?from=${track.id}`; }],
    ...(pathStart && pathStart !== track.id ? [["path", "The path to here", () => (location.hash = `#/explore?from=${pathStart}&to=${track.id}`)]] : []),
  ];
}

// Buttons over a list: all of it, in order or not. `tracks` gives them, and may take its time.
export function listActions(tracks, name) {
  const start = (isShuffled) => async () => player.playAll(await tracks(isShuffled), isShuffled);
  return [
    h("button", { class: "quiet", type: "button", onclick: start(false) }, icon("play"), "Play all"),
    h("button", { class: "quiet", type: "button", onclick: start(true) }, icon("shuffle"), "Shuffle"),
    h("button", { class: "quiet", type: "button", onclick: async () => saveTracks(await tracks(false), name) }, icon("list"), "Save"),
  ];
}

// How far a track stands out for the query, as a bar and a word; nothing where nothing can be said.
function worth({ fit, stands_out }) {
  if (!fit) return h("span", { class: "score" });
  const bar = h("span", { class: "meter", "aria-hidden": "true" }, h("span"));
  bar.firstChild.style.width = `${Math.max(0, Math.min(1, stands_out / FULL)) * 100}%`;
  return h("span", { class: `score ${fit}`, title: "How far it stands out among other queries" }, bar, h("span", { class: "unseen" }, "Fit "), fit);
}

export function waitingRows(n) {
  const one = () => h("li", { class: "row waiting" }, h("span", { class: "play" }), h("div", { class: "words" }, h("span"), h("span")), h("span", { class: "wave" }));
  return h("ol", { class: "rows", "aria-hidden": "true" }, Array.from({ length: n }, one));
}

export function message(title, text, ...actions) {
  return h("div", { class: "message" }, h("h2", {}, title), h("p", {}, text), h("div", { class: "actions" }, actions));
}

export function heading(text, n, word, ...actions) {
  const status = h("p", { role: "status", class: "status" }, n === null ? "" : counted(n, word));
  return h("div", { class: "heading" }, h("h1", {}, text), status, actions.length ? h("div", { class: "actions" }, actions) : null);
}

// The row after or before the one in focus; the first if there is none.
export function moveFocus(direction) {
  const buttons = [...document.querySelectorAll(".row:not(.waiting) > .play")];
  if (!buttons.length) return false;
  const now = buttons.findIndex((button) => button.closest(".row").contains(document.activeElement));
  if (now === 0 && direction < 0) {
    document.getElementById("query").focus();
    return true;
  }
  const next = buttons[Math.max(0, Math.min(buttons.length - 1, now + direction))];
  next.focus({ preventScroll: true });
  next.closest(".row").scrollIntoView({ block: "nearest" });
  return true;
}
