// The bar at the foot of the page: the player's buttons, and the sheet of what comes next.

import { byline, clock, counted, h, icon } from "./dom.js";
import { heart } from "./kept.js";
import { player } from "./player.js";
import { saveTracks } from "./save.js";
import { wave } from "./wave.js";

const LISTED = 100; // tracks that come next
const REPEAT_WORDS = { off: "Repeat", all: "Repeat all", one: "Repeat this" };
const REPEAT_SAID = { off: "Repeat: off", all: "Repeat: all tracks", one: "Repeat: this track" };

export function buildPlayer(section) {
  const next = buildNext();
  const part = { ...transport(), ...place(), ...volume(), words: words(), heart: heart(() => player.track), open: next.button };
  section.append(part.transport, part.words, part.place, part.time, h("div", { class: "extras" }, part.heart, part.volume, part.open), next.sheet);
  let shown = null;
  player.addEventListener("change", () => {
    const { track } = player;
    section.hidden = !track;
    document.body.classList.toggle("has-player", Boolean(track));
    if (!track) return;
    part.showVolume();
    part.showButtons();
    part.words.show(track);
    if (shown !== track.id) part.heart.show();
    if (shown !== track.id) part.showTrack(track);
    shown = track.id;
    part.showTime(track);
    next.show();
  });
  return next;
}

function words() {
  const title = h("a", { class: "title" });
  const by = h("span", { class: "by" });
  const box = h("div", { class: "words" }, title, by);
  box.show = (track) => {
    title.textContent = track.title;
    title.href = `#/track/${track.id}`;
    by.textContent = player.problem || byline(track);
    by.toggleAttribute("data-problem", Boolean(player.problem));
  };
  return box;
}

function transport() {
  const control = (name, label, act) => h("button", { class: "act", type: "button", "aria-label": label, title: label, onclick: act }, icon(name));
  const button = h("button", { class: "play", type: "button", onclick: () => player.toggle() });
  const box = h("div", { class: "transport" }, control("previous", "Previous track", () => player.previous()), button, control("next", "Next track", () => player.next()));
  let playing = null;
  const showButtons = () => {
    if (playing === player.isPlaying) return;
    playing = player.isPlaying;
    button.replaceChildren(icon(playing ? "pause" : "play"));
    button.setAttribute("aria-label", playing ? "Pause" : "Play");
  };
  return { transport: box, showButtons };
}

function place() {
  const range = h("input", { type: "range", min: 0, step: 1, value: 0, "aria-label": "Position" });
  range.addEventListener("input", () => player.seek(Number(range.value)));
  const time = h("span", { class: "time" });
  const box = h("div", { class: "place" });
  const showTrack = (track) => {
    range.max = Math.floor(track.seconds);
    box.replaceChildren(wave(track), range);
  };
  const showTime = (track) => {
    range.value = Math.floor(player.seconds);
    range.setAttribute("aria-valuetext", `${clock(player.seconds)} of ${clock(track.seconds)}`);
    time.textContent = `${clock(player.seconds)} / ${clock(track.seconds)}`;
    box.firstChild?.redraw();
  };
  return { place: box, time, showTrack, showTime };
}

function volume() {
  const mute = h("button", { class: "act", type: "button", title: "Silence (m)", onclick: () => player.mute() });
  const range = h("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": "Volume" });
  range.addEventListener("input", () => player.setVolume(Number(range.value) / 100));
  let shown = null;
  const showVolume = () => {
    const percent = Math.round(player.volume * 100);
    if (shown === percent) return;
    shown = percent;
    range.value = percent;
    range.style.setProperty("--share", `${percent}%`);
    range.setAttribute("aria-valuetext", `${percent} percent`);
    mute.replaceChildren(icon(percent ? "sound" : "silence"));
    mute.setAttribute("aria-label", percent ? "Silence" : "Sound again");
  };
  return { volume: h("div", { class: "volume" }, mute, range), showVolume };
}

function buildNext() {
  const list = h("ol", { class: "next", "aria-label": "Up next" });
  const note = h("p", { class: "note", role: "status" });
  const toggle = (name, text, act) => h("button", { class: "toggle", type: "button", "aria-pressed": "false", onclick: act }, icon(name), text);
  const shuffle = toggle("shuffle", "Shuffle", () => player.shuffle());
  const repeat = toggle("repeat", "Repeat", () => player.repeat());
  const goOn = toggle("on", "Go on with what sounds like it", () => player.goOn());
  const clear = h("button", { class: "quiet", type: "button", onclick: () => { player.queue.clear(); player.tell(); } }, "Clear");
  const save = h("button", { class: "quiet", type: "button", onclick: () => saveTracks(player.queue.tracks) }, "Save");
  const sheet = h(
    "section",
    { class: "queue", id: "queue", "aria-labelledby": "queue-title", hidden: true },
    h("header", {}, h("h2", { id: "queue-title" }, "Up next"), save, clear),
    h("div", { class: "toggles" }, shuffle, repeat, goOn),
    list,
    note,
  );
  const button = h("button", { class: "act", type: "button", "aria-label": "Up next", title: "Up next (q)", "aria-expanded": "false", "aria-controls": "queue" }, icon("queue"));
  let drawn = "";
  const show = () => {
    if (sheet.hidden) return;
    const { queue } = player;
    const now = `${queue.tracks.map(({ id }) => id)} ${queue.at} ${queue.repeat} ${queue.isShuffled} ${player.goesOn}`;
    if (now === drawn) return;
    drawn = now;
    shuffle.setAttribute("aria-pressed", queue.isShuffled);
    goOn.setAttribute("aria-pressed", player.goesOn);
    repeat.setAttribute("aria-pressed", queue.repeat !== "off");
    repeat.setAttribute("aria-label", REPEAT_SAID[queue.repeat]);
    repeat.replaceChildren(icon(queue.repeat === "one" ? "once" : "repeat"), REPEAT_WORDS[queue.repeat]);
    fillNext(list, note);
  };
  const toggleSheet = (wanted = sheet.hidden) => {
    if (sheet.hidden === !wanted) return false;
    sheet.hidden = !wanted;
    button.setAttribute("aria-expanded", wanted);
    document.body.classList.toggle("has-queue", wanted);
    show();
    return true;
  };
  button.addEventListener("click", () => toggleSheet());
  return { button, sheet, show, toggle: toggleSheet };
}

function fillNext(list, note) {
  const { queue } = player;
  const focused = [...list.querySelectorAll(".remove")].indexOf(document.activeElement);
  const rows = queue.tracks.slice(queue.at + 1, queue.at + 1 + LISTED).map((track, n) => {
    const at = queue.at + 1 + n;
    return h(
      "li",
      {},
      h("button", { class: "link", type: "button", onclick: () => player.playAt(at) }, h("span", { class: "unseen" }, "Play "), h("span", { class: "title" }, track.title), h("span", { class: "by" }, byline(track))),
      h("span", { class: "at" }, clock(track.seconds)),
      h("button", { class: "act remove", type: "button", "aria-label": `Leave out ${track.title}`, title: "Leave out", onclick: () => { queue.remove(at); player.tell(); } }, icon("close")),
    );
  });
  list.replaceChildren(...rows);
  const rest = queue.tracks.length - queue.at - 1 - rows.length;
  if (rest > 0) note.textContent = `and ${counted(rest, "track")} more`;
  else if (queue.repeat === "one") note.textContent = "This track is played again and again.";
  else if (player.goesOn) note.textContent = "Then the music goes on with what sounds like the last track.";
  else if (queue.repeat === "all") note.textContent = "Then all of it again.";
  else note.textContent = rows.length ? "" : "Nothing more. Play a list, or let the music go on with what sounds like this.";
  if (focused >= 0) [...list.querySelectorAll(".remove")].at(Math.min(focused, rows.length - 1))?.focus();
}
