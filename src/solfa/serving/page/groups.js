// Groups of tracks on the map, by what is known of them or by sound, with a colour for each of the largest.

import { api } from "./api.js";
import { counted, h } from "./dom.js";
import { remember, remembered } from "./memory.js";

const N_HUES = 8;
const WAYS = [["", "No colours"], ["artist", "Artists"], ["genre", "Genres"], ["folder", "Folders"], ["cluster", "What sounds alike"]];
const FEWEST = 4; // tracks that are grouped by sound

export class Groups {
  // `choose` is called with the points of a group that somebody wants.
  constructor(points, changed, choose) {
    this.points = points;
    this.choose = choose;
    const differs = (way) => (way === "cluster" ? points.length >= FEWEST : new Set(points.map((point) => point[way])).size > 1);
    const known = WAYS.filter(([way]) => !way || differs(way));
    const before = remembered("map-colours", "");
    this.way = known.some(([way]) => way === before) ? before : "";
    this.select = h("select", { "aria-label": "Colours of the map" }, known.map(([way, text]) => h("option", { value: way, selected: way === this.way }, text)));
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "Colours" });
    this.status = h("p", { class: "note", role: "status" });
    this.select.addEventListener("change", async () => {
      this.way = this.select.value;
      remember("map-colours", this.way);
      await this.colour();
      changed();
    });
    this.colour().then(changed);
  }

  // Colours by sound are asked for when somebody wants them: the server groups the tracks first.
  async colour() {
    this.sort();
    this.status.textContent = "";
    if (this.way !== "cluster" || this.points.some(({ cluster }) => cluster)) return;
    this.status.textContent = "Grouping the tracks by sound …";
    try {
      const { clusters } = await api.mapClusters();
      const names = new Map(clusters.flatMap(({ name, ids }) => ids.map((id) => [id, name])));
      for (const point of this.points) point.cluster = names.get(point.id) ?? "";
      this.status.textContent = "";
    } catch (error) {
      this.status.textContent = error.message;
    }
    this.sort();
  }

  sort() {
    const members = new Map();
    for (const point of this.way ? this.points : []) {
      const name = point[this.way];
      if (name) members.set(name, [...(members.get(name) ?? []), point]);
    }
    const largest = [...members].sort((one, other) => other[1].length - one[1].length || (one[0] < other[0] ? -1 : 1)).slice(0, N_HUES);
    this.hues = new Map(largest.map(([name], n) => [name, n]));
    const chip = ([name, points], n) =>
      h("button", { class: "chip", type: "button", title: `Choose ${counted(points.length, "track")}`, onclick: () => this.choose(points) }, h("span", { class: `hue hue-${n}`, "aria-hidden": "true" }), name, h("span", { class: "by" }, points.length.toLocaleString("en")));
    this.legend.replaceChildren(...largest.map(chip));
  }

  // The number of a point's colour; undefined if it has none.
  hue(point) {
    return this.way ? this.hues.get(point[this.way]) : undefined;
  }
}

export const HUES = Array.from({ length: N_HUES }, (_, n) => `--hue-${n}`);
