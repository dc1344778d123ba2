// Filters of a list as chips: those that are chosen, and behind a button what there is to choose, with counts.

import { api } from "./api.js";
import { h, icon } from "./dom.js";
import { remember, remembered } from "./memory.js";
import { readQuery, withFilters } from "./mix.js";

const RANGES = ["year", "seconds", "tempo"];
const NAMES = { year: "Year", seconds: "Length", tempo: "Tempo", artist: "Artist", folder: "Folder" };

// `text` is what is asked for, filters among it.
export function filterBar(text) {
  const { filters } = readQuery(text);
  const panel = h("div", { class: "facets", id: "facets" });
  const isOpen = () => remembered("filters", "") === "open";
  const button = h("button", { class: "toggle", type: "button", "aria-controls": "facets" }, icon("filter"), "Filters");
  const show = () => {
    panel.hidden = !isOpen();
    button.setAttribute("aria-expanded", isOpen());
    if (isOpen() && !panel.children.length) fill(panel, text, filters);
  };
  button.addEventListener("click", () => {
    remember("filters", isOpen() ? "" : "open");
    show();
  });
  const chosen = filters.map((filter) => chip(filter, text, filters));
  show();
  return h("div", { class: "narrowing" }, h("div", { class: "chosen-filters", role: "group", "aria-label": "Filters" }, button, chosen), panel);
}

// A filter that holds, to be left out.
function chip(filter, text, filters) {
  const name = nameOf(filter);
  const without = () => ask(text, filters.filter((one) => one !== filter));
  return h(
    "button",
    { class: "toggle", type: "button", "aria-pressed": "true", title: "Leave out", onclick: without },
    h("span", { class: "unseen" }, "Leave out "),
    `${NAMES[name] ?? name}: ${shown(name, filter.slice(name.length + 1))}`,
    icon("close"),
  );
}

function shown(name, value) {
  if (!RANGES.includes(name)) return value;
  const [low, high] = value.split("-");
  if (high === undefined || (low && high)) return value.replace("-", "\u2013");
  return low ? `from ${low}` : `up to ${high}`;
}

async function fill(panel, text, filters) {
  panel.setAttribute("aria-busy", "true");
  try {
    const { facets } = await api.facets(filters);
    const nothing = h("p", { class: "note" }, "The tracks do not differ in year, length, tempo, artist or folder.");
    panel.replaceChildren(...(facets.length ? facets.map((facet) => group(facet, text, filters)) : [nothing]));
  } catch (error) {
    panel.replaceChildren(h("p", { class: "note", role: "alert" }, error.message));
  }
  panel.removeAttribute("aria-busy");
}

// One kind of filter: another choice takes the place of the one that holds, and that one again leaves it out.
function group({ name, choices }, text, filters) {
  const others = filters.filter((one) => nameOf(one) !== name);
  const button = ({ label, filter, n_tracks }) => {
    const isChosen = filters.includes(filter);
    const act = () => ask(text, isChosen ? others : [...others, filter]);
    return h(
      "button",
      { class: "toggle", type: "button", "aria-pressed": String(isChosen), onclick: act },
      label,
      h("span", { class: "count" }, n_tracks.toLocaleString("en"), h("span", { class: "unseen" }, n_tracks === 1 ? " track" : " tracks")),
    );
  };
  return h("div", { class: "facet", role: "group", "aria-label": NAMES[name] }, h("span", { class: "kind", "aria-hidden": "true" }, NAMES[name]), h("div", { class: "choices" }, choices.map(button)));
}

function nameOf(filter) {
  return filter.slice(0, filter.indexOf("="));
}

function ask(text, filters) {
  const wanted = withFilters(text, filters);
  location.hash = wanted ? `#/search?q=${encodeURIComponent(wanted)}` : "#/";
}
