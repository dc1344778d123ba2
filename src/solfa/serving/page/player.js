// The player at the foot of the page, and waveforms that show and choose where it is.

import { api, waveform } from "./api.js";
import { byline, clock, color, drawn, h, icon } from "./dom.js";

const STEP_SECONDS = 5;
const BAR = 3; // pixels of a bar and the gap behind it

class Player extends EventTarget {
  constructor() {
    super();
    this.audio = new Audio();
    this.audio.preload = "auto";
    this.track = null;
    this.start = 0;
    this.problem = "";
    for (const event of ["timeupdate", "play", "pause", "seeked", "ended"]) {
      this.audio.addEventListener(event, () => this.tell());
    }
    this.audio.addEventListener("loadedmetadata", () => {
      if (this.start) this.audio.currentTime = this.start;
    });
    this.audio.addEventListener("error", () => this.retry());
  }

  get isPlaying() {
    return Boolean(this.track) && !this.audio.paused;
  }

  get seconds() {
    return this.audio.readyState ? this.audio.currentTime : this.start;
  }

  isAt(track) {
    return this.track?.id === track.id;
  }

  play(track, start = 0) {
    this.problem = "";
    if (this.isAt(track)) {
      this.seek(start);
    } else {
      this.track = track;
      this.start = start;
      const plays = track.media_type && this.audio.canPlayType(track.media_type);
      this.load(plays ? "file" : "wav");
    }
    this.resume();
  }

  // Some files are not what their names say: what the browser cannot play is asked for as WAV.
  retry() {
    if (!this.track) return;
    if (this.form === "file") {
      this.start = this.seconds;
      this.load("wav");
      this.resume();
      return;
    }
    this.problem = "This track cannot be played: its file is gone or damaged.";
    this.tell();
  }

  load(form) {
    this.form = form;
    this.audio.src = api.audio(this.track.id, form);
  }

  resume() {
    this.audio.play().catch(() => this.tell());
    this.tell();
  }

  toggle() {
    if (!this.track) return;
    if (this.audio.paused) this.resume();
    else this.audio.pause();
  }

  seek(seconds) {
    const within = Math.max(0, Math.min(seconds, this.track.seconds - 0.1));
    this.start = within;
    if (this.audio.readyState) this.audio.currentTime = within;
    this.tell();
  }

  step(direction) {
    if (this.track) this.seek(this.seconds + direction * STEP_SECONDS);
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }
}

export const player = new Player();

const inSight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    inSight.unobserve(target);
    target.dispatchEvent(new Event("insight"));
  }
}, { rootMargin: "120px" });

// A picture of a track's loudness: the matching stretch marked, what was heard darker. A click plays from there.
export function wave(track, match = null) {
  const canvas = h("canvas", { class: "wave", "aria-hidden": "true" });
  let peaks = null;
  const redraw = drawn(canvas, (context, width, height) => {
    const x = (seconds) => (seconds / track.seconds) * width;
    const [from, to] = match ? [x(match.start), Math.max(x(match.end), x(match.start) + 3)] : [0, 0];
    if (match) {
      context.fillStyle = color("--band");
      context.beginPath();
      context.roundRect(from, 0, to - from, height, 4);
      context.fill();
    }
    const heard = player.isAt(track) ? x(player.seconds) : 0;
    const n = Math.floor(width / BAR);
    const colors = { rest: color("--wave"), match: color("--accent"), heard: color("--ink") };
    for (let bar = 0; bar < n; bar += 1) {
      const left = bar * BAR;
      const isMatch = match && left + 1 >= from && left <= to;
      context.fillStyle = left < heard ? colors.heard : isMatch ? colors.match : colors.rest;
      const level = peaks ? loudest(peaks, bar / n, (bar + 1) / n) : 0;
      const tall = Math.max(2, level * (height - 4));
      context.fillRect(left, (height - tall) / 2, BAR - 1, tall);
    }
  });
  canvas.addEventListener("click", (event) => {
    const { left, width } = canvas.getBoundingClientRect();
    player.play(track, ((event.clientX - left) / width) * track.seconds);
  });
  canvas.addEventListener("insight", async () => {
    try {
      peaks = (await waveform(track.id)).peaks;
      canvas.dataset.ready = "";
      redraw();
    } catch {
      canvas.dataset.ready = ""; // a flat line says that there is nothing to see
    }
  });
  inSight.observe(canvas);
  canvas.redraw = redraw;
  return canvas;
}

function loudest(peaks, from, to) {
  let most = 0;
  const last = Math.max(Math.floor(from * peaks.length) + 1, Math.floor(to * peaks.length));
  for (let n = Math.floor(from * peaks.length); n < last; n += 1) most = Math.max(most, peaks[n] ?? 0);
  return Math.sqrt(most / 255); // so that quiet music is more than a line
}

export function playButton(track, start, label) {
  const button = h("button", { class: "play", type: "button" }, icon("play"));
  const show = () => {
    const playing = player.isAt(track) && player.isPlaying;
    button.setAttribute("aria-label", playing ? `Pause ${track.title}` : label);
    button.replaceChildren(icon(playing ? "pause" : "play"));
    button.dataset.playing = playing;
  };
  button.addEventListener("click", () => {
    if (player.isAt(track) && player.isPlaying) player.toggle();
    else player.play(track, start());
  });
  listen(button, show);
  show();
  return button;
}

// Calls a function at each change, for as long as an element is on the page.
export function listen(element, show) {
  const listener = () => {
    if (element.isConnected) show();
    else if (element.dataset.wasShown) player.removeEventListener("change", listener);
  };
  requestAnimationFrame(() => (element.dataset.wasShown = "1"));
  player.addEventListener("change", listener);
}

export function buildPlayer(section) {
  const range = h("input", { type: "range", min: 0, step: 1, value: 0, "aria-label": "Position" });
  const title = h("a", { class: "title" });
  const by = h("span", { class: "by" });
  const time = h("span", { class: "time" });
  const words = h("div", { class: "words" }, title, by);
  const button = h("button", { class: "play", type: "button", onclick: () => player.toggle() });
  const place = h("div", { class: "place" });
  section.append(button, words, place, time);
  range.addEventListener("input", () => player.seek(Number(range.value)));
  let shown = null;
  let playing = null;
  player.addEventListener("change", () => {
    const { track } = player;
    section.hidden = !track;
    document.body.classList.toggle("has-player", Boolean(track));
    if (!track) return;
    if (shown !== track.id) {
      shown = track.id;
      title.textContent = track.title;
      title.href = `#/track/${track.id}`;
      range.max = Math.floor(track.seconds);
      place.replaceChildren(wave(track), range);
    }
    if (playing !== player.isPlaying) {
      playing = player.isPlaying;
      button.replaceChildren(icon(playing ? "pause" : "play"));
      button.setAttribute("aria-label", playing ? "Pause" : "Play");
    }
    by.textContent = player.problem || byline(track);
    by.toggleAttribute("data-problem", Boolean(player.problem));
    range.value = Math.floor(player.seconds);
    range.setAttribute("aria-valuetext", `${clock(player.seconds)} of ${clock(track.seconds)}`);
    time.textContent = `${clock(player.seconds)} / ${clock(track.seconds)}`;
    place.firstChild?.redraw();
  });
}
