// Waveforms that show and choose where the player is, and the buttons that play.

import { waveform } from "./api.js";
import { color, drawn, h, icon } from "./dom.js";
import { player } from "./player.js";

const BAR = 3; // pixels of a bar and the gap behind it

const inSight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    inSight.unobserve(target);
    target.dispatchEvent(new Event("insight"));
  }
}, { rootMargin: "120px" });

// A picture of a track's loudness: the matching stretch marked, what was heard darker. A click plays from there,
// and then what stands in the list with it.
export function wave(track, match = null, among = undefined) {
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
    player.play(track, ((event.clientX - left) / width) * track.seconds, among?.());
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

export function playButton(track, start, label, among = undefined) {
  const button = h("button", { class: "play", type: "button" }, icon("play"));
  const show = () => {
    const playing = player.isAt(track) && player.isPlaying;
    button.setAttribute("aria-label", playing ? `Pause ${track.title}` : label);
    button.replaceChildren(icon(playing ? "pause" : "play"));
    button.dataset.playing = playing;
  };
  button.addEventListener("click", () => {
    if (player.isAt(track) && player.isPlaying) player.toggle();
    else player.play(track, start(), among?.());
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
