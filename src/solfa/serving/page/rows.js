// Rows of tracks, with what matched in each.

import { byline, clock, counted, h, icon } from "./dom.js";
import { listen, playButton, player, wave } from "./player.js";

// Matches, or tracks as matches of themselves.
export function rows(matches, label) {
  return h("ol", { class: "rows", "aria-label": label }, matches.map(row));
}

export function row(match) {
  const { track } = match;
  const hasMatch = match.score !== undefined;
  const start = () => (hasMatch ? match.start : 0);
  const from = hasMatch ? ` from ${clock(match.start)}` : "";
  const picture = wave(track, hasMatch ? match : null);
  const element = h(
    "li",
    { class: "row", "data-id": track.id },
    playButton(track, start, `Play ${track.title}${from}`),
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
      hasMatch ? score(match.score) : h("span", { class: "number" }, `no. ${track.id}`),
    ),
    h(
      "a",
      { class: "more", href: `#/search?q=${track.id}`, "aria-label": `More like ${track.title}`, title: `More like this (${track.id})` },
      icon("like"),
    ),
  );
  listen(element, () => {
    const isCurrent = player.isAt(track);
    if (isCurrent || element.dataset.current) picture.redraw();
    if (isCurrent) element.dataset.current = "1";
    else delete element.dataset.current;
  });
  if (player.isAt(track)) element.dataset.current = "1";
  return element;
}

function score(value) {
  const bar = h("span", { class: "meter", "aria-hidden": "true" }, h("span"));
  bar.firstChild.style.width = `${Math.max(0, Math.min(1, value)) * 100}%`;
  return h("span", { class: "score", title: "Cosine similarity, at most 1" }, bar, h("span", { class: "unseen" }, "Score "), value.toFixed(2));
}

export function waitingRows(n) {
  const one = () => h("li", { class: "row waiting" }, h("span", { class: "play" }), h("div", { class: "words" }, h("span"), h("span")), h("span", { class: "wave" }));
  return h("ol", { class: "rows", "aria-hidden": "true" }, Array.from({ length: n }, one));
}

export function message(title, text, ...actions) {
  return h("div", { class: "message" }, h("h2", {}, title), h("p", {}, text), h("div", { class: "actions" }, actions));
}

export function heading(text, n, word) {
  return h("div", { class: "heading" }, h("h1", {}, text), h("p", { role: "status", class: "status" }, n === null ? "" : counted(n, word)));
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
