// The map of the library: what sounds alike lies together. Click plays, a line around tracks makes a playlist.

import { api } from "./api.js";
import { color, counted, drawn, h, icon } from "./dom.js";
import { listen, player } from "./player.js";
import { heading, message } from "./rows.js";

const REACH = 14; // pixels from a point that still count as on it
const MARGIN = 0.08;
const LISTED = 200;
const MOST_ZOOM = 30;
const NAMED = 400; // names that are tried

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
    const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
    this.bounds = { left: least(xs), right: -least(xs.map((x) => -x)), bottom: least(ys), top: -least(ys.map((y) => -y)) };
    const label = `Map of ${counted(points.length, "track")}. The same tracks are in the list below.`;
    this.canvas = h("canvas", { class: "map", role: "img", "aria-label": label });
    this.tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });
    this.bar = h("div", { class: "chosen" });
    this.list = h("ol", { class: "list", "aria-label": "Tracks on the map" });
    const more = nLeftOut ? ` ${counted(nLeftOut, "track")} more would not fit.` : "";
    const rings = found.size ? " Rings: the first tracks of the last search." : "";
    const tools = h("div", { class: "tools" }, this.tool("plus", "Zoom in", 1.5), this.tool("minus", "Zoom out", 1 / 1.5));
    view.replaceChildren(
      heading("Map", points.length, "track"),
      h("p", { class: "note" }, `What sounds alike lies together. Click to play; draw a line around tracks to choose them.${rings}${more}`),
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
    this.points.forEach((point, n) => {
      const isMarked = this.chosen.has(point.id) || this.playing === point.id;
      const grow = point === this.hover || this.playing === point.id ? 2.5 : 0;
      context.beginPath();
      context.arc(...places[n], radius + grow, 0, 2 * Math.PI);
      context.fillStyle = color(isMarked ? "--accent" : "--dot");
      context.globalAlpha = isMarked || point === this.hover ? 1 : 0.8;
      context.fill();
      if (this.playing === point.id || this.found.has(point.id)) {
        context.beginPath();
        context.arc(...places[n], radius + (this.playing === point.id ? 7 : 3), 0, 2 * Math.PI);
        context.strokeStyle = color("--accent");
        context.lineWidth = 1.5;
        context.stroke();
      }
    });
    context.globalAlpha = 1;
    this.drawNames(context, places, width, radius);
    if (this.line) this.drawLine(context);
  }

  // As many names as there is room for, to the right of their points or to the left.
  drawNames(context, places, width, radius) {
    context.font = `500 12px ${getComputedStyle(this.canvas).fontFamily}`;
    context.fillStyle = color("--muted");
    context.textBaseline = "middle";
    const taken = places.map(([x, y]) => [x - radius - 2, y - radius - 2, x + radius + 2, y + radius + 2]);
    const isFree = (box, own) =>
      box[0] > 4 && box[2] < width - 56 && taken.every((other, n) => n === own || box[0] > other[2] || box[2] < other[0] || box[1] > other[3] || box[3] < other[1]);
    for (let n = 0; n < Math.min(this.points.length, NAMED); n += 1) {
      const [x, y] = places[n];
      const { title } = this.points[n];
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
    const { canvas } = this;
    const at = (event) => {
      const { left, top } = canvas.getBoundingClientRect();
      return [event.clientX - left, event.clientY - top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.line = [at(event)];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.line) {
        this.line.push(at(event));
        this.redraw();
      } else this.point(at(event));
    });
    canvas.addEventListener("pointerup", (event) => {
      const line = this.line ?? [];
      this.line = null;
      if (lengthOf(line) > REACH) this.choose(line);
      else this.play(at(event));
      this.redraw();
    });
    canvas.addEventListener("pointercancel", () => (this.line = null));
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomAt(...at(event), event.deltaY < 0 ? 1.2 : 1 / 1.2);
    }, { passive: false });
  }

  zoomAt(x, y, factor) {
    const { zoom } = this;
    const scale = Math.max(1, Math.min(MOST_ZOOM, zoom.scale * factor));
    const change = scale / zoom.scale;
    this.zoom = scale === 1 ? { scale, x: 0, y: 0 } : { scale, x: x - (x - zoom.x) * change, y: y - (y - zoom.y) * change };
    this.redraw();
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
    for (const point of this.points) if (isInside(this.place(point, width, height), line)) this.chosen.add(point.id);
    this.showChosen();
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
    const save = h("button", { class: "primary", type: "button", disabled: !n, onclick: () => this.save(words) }, icon("save"), "Save playlist");
    const clear = h("button", { class: "quiet", type: "button", disabled: !n, onclick: () => { this.chosen.clear(); this.showChosen(); this.redraw(); } }, "Clear");
    this.bar.replaceChildren(words, clear, save);
  }

  async save(words) {
    try {
      const address = URL.createObjectURL(await api.playlist([...this.chosen]));
      const link = h("a", { href: address, download: "playlist.m3u8" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    } catch (error) {
      words.textContent = error.message;
    }
  }
}

function least(values) {
  return values.reduce((one, other) => Math.min(one, other), Infinity);
}

function lengthOf(line) {
  return line.reduce((sum, [x, y], n) => (n ? sum + Math.hypot(x - line[n - 1][0], y - line[n - 1][1]) : 0), 0);
}

// Whether a ray from the place crosses the line an odd number of times.
function isInside([x, y], line) {
  let inside = false;
  for (let n = 0, before = line.length - 1; n < line.length; before = n, n += 1) {
    const [x1, y1] = line[n];
    const [x2, y2] = line[before];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}
