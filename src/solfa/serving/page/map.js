// The map of the library: what sounds alike lies together. Click plays, a line around tracks makes a playlist.

import { api } from "./api.js";
import { color, counted, drawn, h, icon } from "./dom.js";
import { followPointers, isInside } from "./gestures.js";
import { Groups, HUES } from "./groups.js";
import { player } from "./player.js";
import { heading, message } from "./rows.js";
import { saveTracks } from "./save.js";
import { listen } from "./wave.js";

const REACH = 14; // pixels from a point that still count as on it
const MARGIN = 0.08;
const LISTED = 200;
const MOST_ZOOM = 30;
const NAMED = 400; // names that are tried
const SLACK = 0.25; // of the sheet that the map never leaves
const BY_FINGER = "Tap a track to play it; two fingers enlarge the map, and the button with the loop draws a line around tracks to choose them.";
const BY_MOUSE = "Click to play, drag to move; hold Shift and draw a line around tracks to choose them.";
const HOW = matchMedia("(pointer: coarse)").matches ? BY_FINGER : BY_MOUSE;

// Shown until the map is there. The first time it is made, which takes seconds for thousands of tracks.
export function waitingMap(n) {
  const words = `Placing ${counted(n, "track")} so that those that sound alike lie together. This is done once for a library.`;
  return h("div", { class: "sheet waiting" }, h("div", { class: "late" }, h("p", { role: "status" }, words), h("progress", { "aria-label": "The map is made" })));
}

export async function showMap(view, found, signal) {
  const { points, n_left_out } = await api.map(signal);
  if (!points.length) {
    view.replaceChildren(message("Nothing to map yet", "The library is empty. Fill it: solfa index MUSIC --library LIBRARY"));
    return;
  }
  new MapView(view, points, found, n_left_out);
}

class MapView {
  constructor(view, points, found, nLeftOut) {
    this.points = points;
    this.found = found;
    this.chosen = new Set();
    this.hover = null;
    this.line = null;
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.draws = false; // a line around tracks, with every drag
    this.waiting = null;
    const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
    this.bounds = { left: least(xs), right: -least(xs.map((x) => -x)), bottom: least(ys), top: -least(ys.map((y) => -y)) };
    const label = `Map of ${counted(points.length, "track")}. The same tracks are in the list below.`;
    this.canvas = h("canvas", { class: "map", role: "img", "aria-label": label });
    this.tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });
    this.bar = h("div", { class: "chosen" });
    this.list = h("ol", { class: "list", "aria-label": "Tracks on the map" });
    const more = nLeftOut ? ` ${counted(nLeftOut, "track")} more would not fit.` : "";
    const rings = found.size ? " Rings: the first tracks of the last search." : "";
    const words = "Draw a line around tracks";
    this.drawTool = h("button", { class: "quiet square", type: "button", "aria-label": words, title: `${words} (or hold Shift)`, "aria-pressed": "false", onclick: () => this.toggleDrawing() }, icon("lasso"));
    const all = h("button", { class: "quiet square", type: "button", "aria-label": "Show all of it", title: "Show all of it", onclick: () => this.move(1, 0, 0) }, icon("all"));
    const tools = h("div", { class: "tools" }, this.tool("plus", "Zoom in", 1.5), this.tool("minus", "Zoom out", 1 / 1.5), all, this.drawTool);
    this.groups = new Groups(points, () => this.later(), (chosen) => this.chooseAll(chosen));
    view.replaceChildren(
      heading("Map", points.length, "track"),
      h("p", { class: "note" }, `What sounds alike lies together. ${HOW}${rings}${more}`),
      h("div", { class: "colours" }, this.groups.select, this.groups.legend, this.groups.status),
      h("div", { class: "sheet" }, this.canvas, tools, this.tip),
      this.bar,
      h("details", { class: "alternative" }, h("summary", {}, "All tracks of the map as a list"), this.list),
    );
    this.redraw = drawn(this.canvas, (context, width, height) => this.draw(context, width, height));
    this.follow();
    this.fillList(LISTED);
    this.showChosen();
    listen(this.canvas, () => this.playing !== player.track?.id && this.redraw());
  }

  tool(name, label, factor) {
    const zoom = () => {
      const { width, height } = this.canvas.getBoundingClientRect();
      this.zoomAt(width / 2, height / 2, factor);
    };
    return h("button", { class: "quiet square", type: "button", "aria-label": label, title: label, onclick: zoom }, icon(name));
  }

  place(point, width, height) {
    const { scale, x, y } = this.zoom;
    const { left, right, top, bottom } = this.bounds;
    const across = MARGIN + ((point.x - left) / (right - left || 1)) * (1 - 2 * MARGIN);
    const down = MARGIN + ((top - point.y) / (top - bottom || 1)) * (1 - 2 * MARGIN);
    return [across * width * scale + x, down * height * scale + y];
  }

  draw(context, width, height) {
    this.playing = player.track?.id;
    const radius = this.points.length > 2000 ? 2.5 : this.points.length > 300 ? 4 : 5.5;
    const places = this.points.map((point) => this.place(point, width, height));
    const [accent, dot, hues] = [color("--accent"), color("--dot"), HUES.map(color)];
    this.points.forEach((point, n) => {
      const [x, y] = places[n];
      if (x < -20 || y < -20 || x > width + 20 || y > height + 20) return;
      const isPlaying = this.playing === point.id;
      const isChosen = this.chosen.has(point.id);
      const grow = point === this.hover || isPlaying ? 2.5 : 0;
      context.beginPath();
      context.arc(x, y, radius + grow, 0, 2 * Math.PI);
      context.fillStyle = hues[this.groups.hue(point)] ?? (isChosen || isPlaying ? accent : dot);
      context.globalAlpha = isChosen || isPlaying || point === this.hover ? 1 : 0.8;
      context.fill();
      if (isPlaying || isChosen || this.found.has(point.id)) {
        context.beginPath();
        context.arc(x, y, radius + (isPlaying ? 7 : 3), 0, 2 * Math.PI);
        context.strokeStyle = accent;
        context.lineWidth = isChosen ? 2.5 : 1.5;
        context.stroke();
      }
    });
    context.globalAlpha = 1;
    if (!this.line) this.drawNames(context, places, width, radius);
    if (this.line) this.drawLine(context);
  }

  // As many names as there is room for, to the right of their points or to the left.
  drawNames(context, everywhere, width, radius) {
    context.font = `500 12px ${getComputedStyle(this.canvas).fontFamily}`;
    context.fillStyle = color("--muted");
    context.textBaseline = "middle";
    const { height } = this.canvas.getBoundingClientRect();
    const inSight = this.points.map((point, n) => [point, everywhere[n]]).filter(([, [x, y]]) => x > 0 && y > 0 && x < width && y < height);
    const places = inSight.map(([, place]) => place);
    const taken = places.map(([x, y]) => [x - radius - 2, y - radius - 2, x + radius + 2, y + radius + 2]);
    const isFree = (box, own) =>
      box[0] > 4 && box[2] < width - 56 && taken.every((other, n) => n === own || box[0] > other[2] || box[2] < other[0] || box[1] > other[3] || box[3] < other[1]);
    for (let n = 0; n < Math.min(places.length, NAMED); n += 1) {
      const [x, y] = places[n];
      const { title } = inSight[n][0];
      const name = title.length > 26 ? `${title.slice(0, 25)}…` : title;
      const long = context.measureText(name).width;
      const left = [x + radius + 6, x - radius - 6 - long].find((start) => isFree([start, y - 8, start + long, y + 8], n));
      if (left === undefined) continue;
      taken.push([left, y - 8, left + long, y + 8]);
      context.fillText(name, left, y + 0.5);
    }
  }

  drawLine(context) {
    context.beginPath();
    this.line.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    context.fillStyle = color("--band");
    context.fill();
    context.strokeStyle = color("--accent");
    context.lineWidth = 1.5;
    context.stroke();
  }

  follow() {
    followPointers(this.canvas, {
      isDrawing: (event) => event.shiftKey || this.draws,
      tap: (place) => this.play(place),
      pan: (x, y) => this.move(this.zoom.scale, this.zoom.x + x, this.zoom.y + y),
      zoom: ([x, y], factor) => this.zoomAt(x, y, factor),
      draw: (line) => {
        this.line = line;
        this.later();
      },
      drawn: (line) => this.choose(line),
      hover: (place) => this.point(place),
    });
  }

  // Drawn with the next picture of the screen, however many wishes came before.
  later() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.redraw();
    });
  }

  zoomAt(x, y, factor) {
    const { zoom } = this;
    const scale = Math.max(1, Math.min(MOST_ZOOM, zoom.scale * factor));
    const change = scale / zoom.scale;
    if (scale === 1 && factor < 1) this.move(1, 0, 0);
    else this.move(scale, x - (x - zoom.x) * change, y - (y - zoom.y) * change);
  }

  // Some of the map stays in sight, and all of it where it is not enlarged and was moved by nobody.
  move(scale, x, y) {
    const { width, height } = this.canvas.getBoundingClientRect();
    const within = (value, size) => Math.max(size * (SLACK - scale), Math.min(value, size * (1 - SLACK)));
    this.zoom = { scale, x: within(x, width), y: within(y, height) };
    this.canvas.dataset.zoomed = scale > 1;
    this.point(null);
    this.later();
  }

  toggleDrawing() {
    this.draws = !this.draws;
    this.drawTool.setAttribute("aria-pressed", this.draws);
    this.canvas.dataset.draws = this.draws;
  }

  nearest([x, y]) {
    const { width, height } = this.canvas.getBoundingClientRect();
    let best = [REACH, null];
    for (const point of this.points) {
      const [left, top] = this.place(point, width, height);
      const distance = Math.hypot(left - x, top - y);
      if (distance < best[0]) best = [distance, point];
    }
    return best[1];
  }

  point(place) {
    const hover = place && this.nearest(place);
    if (hover === this.hover) return;
    this.hover = hover;
    this.canvas.dataset.pointing = Boolean(hover);
    this.tip.hidden = !hover;
    if (hover) {
      const { width, height } = this.canvas.getBoundingClientRect();
      const [x, y] = this.place(hover, width, height);
      this.tip.replaceChildren(h("strong", {}, hover.title), h("span", {}, hover.artist || `no. ${hover.id}`));
      this.tip.style.left = `${Math.max(8, Math.min(x + 14, width - this.tip.offsetWidth - 8))}px`;
      this.tip.style.top = `${Math.max(8, Math.min(y + 14, height - this.tip.offsetHeight - 8))}px`;
    }
    this.redraw();
  }

  play(place) {
    const point = this.nearest(place);
    if (point) this.playPoint(point);
  }

  async playPoint(point) {
    player.play(await api.track(point.id));
  }

  choose(line) {
    const { width, height } = this.canvas.getBoundingClientRect();
    this.chooseAll(this.points.filter((point) => isInside(this.place(point, width, height), line)));
  }

  chooseAll(points) {
    for (const { id } of points) this.chosen.add(id);
    this.showChosen();
    this.later();
  }

  fillList(n) {
    const rows = this.points.slice(0, n).map((point) => {
      const box = h("input", { type: "checkbox", value: point.id, "aria-label": `Choose ${point.title}` });
      box.addEventListener("change", () => {
        if (box.checked) this.chosen.add(point.id);
        else this.chosen.delete(point.id);
        this.showChosen();
        this.redraw();
      });
      const button = h("button", { class: "link", type: "button", onclick: () => this.playPoint(point) }, h("span", { class: "unseen" }, "Play "), point.title);
      return h("li", {}, box, button, h("span", { class: "by" }, point.artist));
    });
    this.list.replaceChildren(...rows);
    if (n < this.points.length) {
      this.list.append(h("li", {}, h("button", { class: "quiet", type: "button", onclick: () => { this.fillList(n + LISTED); this.showChosen(); } }, "Show more")));
    }
  }

  showChosen() {
    for (const box of this.list.querySelectorAll("input")) box.checked = this.chosen.has(Number(box.value));
    const n = this.chosen.size;
    const words = h("p", { role: "status" }, n ? `${counted(n, "track")} chosen` : "No tracks chosen yet");
    const save = h("button", { class: "primary", type: "button", disabled: !n, onclick: () => saveTracks(this.points.filter(({ id }) => this.chosen.has(id))) }, icon("list"), "Save");
    const clear = h("button", { class: "quiet", type: "button", disabled: !n, onclick: () => { this.chosen.clear(); this.showChosen(); this.redraw(); } }, "Clear");
    this.bar.replaceChildren(words, clear, save);
  }
}

function least(values) {
  return values.reduce((one, other) => Math.min(one, other), Infinity);
}
