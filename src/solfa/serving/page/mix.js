// A query as a sum: its terms as chips with weights, and tracks that are added or taken away.

import { api } from "./api.js";
import { h, icon } from "./dom.js";

const FILTER = /(?:^|\s)([a-z_]+)=("[^"]*"|\S+)/gi;
const TRACK = /^#?(\d+)(@[\d:.]+)?$/;
const PART = /\s*(?:([+-])(?=\s)\s*)?(?:(\d+(?:\.\d+)?|\.\d+)\s*\*\s*)?("[^"]*"|(?:(?!\s[+-]\s)[^"])+)/y;
const MORE_LIKE = /^(?:more|tracks?) like\s+#?(\d+(?:@[\d:.]+)?)$/i;
const ONLY = /^\s*(?:named|sounds\s+like)\s*:\s*/i; // what is asked for names or for the sound alone is no sum here
const WEIGHTS = { min: 0.1, max: 2, step: 0.1 };
const names = new Map(); // of tracks, by their numbers

// What is typed: a query, and filters such as year=1990-1999 among its words.
export function readQuery(text) {
  const filters = [...text.matchAll(FILTER)].map(([, name, value]) => `${name}=${value.replaceAll('"', "")}`);
  return { q: text.replace(FILTER, " ").trim().replace(MORE_LIKE, "$1"), filters };
}

// The terms of a query: sign, weight, and a track or words; none if it is none of this page.
export function termsOf(q) {
  const terms = [];
  PART.lastIndex = 0;
  while (PART.lastIndex < q.length) {
    const found = PART.exec(q);
    if (!found) return [];
    const [, sign = "+", weight = "1", what] = found;
    const text = what.trim().replace(/^"|"$/g, "").trim();
    if (text) terms.push({ sign, weight: Number(weight), text, isTrack: TRACK.test(text) && !what.includes('"') });
  }
  return terms;
}

export function written(terms) {
  const isSum = terms.length > 1 || terms.some(({ sign, weight }) => sign === "-" || weight !== 1);
  return terms
    .map(({ sign, weight, text, isTrack }, n) => {
      const what = isTrack || !isSum ? text : `"${text}"`;
      return `${n || sign === "-" ? `${sign} ` : ""}${weight === 1 ? "" : `${weight} * `}${what}`;
    })
    .join(" ");
}

// Ask for what is asked now, with a track more or less of it.
export function addToQuery(track, sign) {
  const [path, parameters] = location.hash.replace(/^#/, "").split("?");
  const text = path === "/search" ? (new URLSearchParams(parameters).get("q") ?? "") : "";
  const { q, rest } = parted(text);
  const terms = termsOf(q.replace(ONLY, "")).filter((term) => !(term.isTrack && term.text === String(track.id)));
  go(terms.length || sign === "+" ? [...terms, { sign, weight: 1, text: String(track.id), isTrack: true }] : [], rest);
}

// The terms of a sum as chips, to be weighed, turned and left out; null where there is only one.
export function mixBar(text) {
  const { q, rest } = parted(text);
  const terms = ONLY.test(q) ? [] : termsOf(q);
  if (terms.length < 2) return null;
  const chips = terms.map((term, n) => {
    const name = h("span", { class: "name" }, term.text);
    if (term.isTrack) nameOf(term.text).then((title) => (name.textContent = title), () => {});
    const turned = term.sign === "+" ? "-" : "+";
    const change = (changes) => go(terms.map((one, at) => (at === n ? { ...one, ...changes } : one)), rest);
    const slider = h("input", { type: "range", ...WEIGHTS, value: term.weight, "aria-label": `Weight of ${term.text}` });
    const value = h("span", { class: "value" }, term.weight.toFixed(1));
    slider.addEventListener("input", () => (value.textContent = Number(slider.value).toFixed(1)));
    slider.addEventListener("change", () => change({ weight: Number(slider.value) }));
    const [more, less] = [`More of ${term.text}`, `Less of ${term.text}`];
    return h(
      "li",
      { "data-sign": term.sign },
      h("button", { class: "act", type: "button", "aria-label": term.sign === "+" ? less : more, title: term.sign === "+" ? "Ask for less of it" : "Ask for more of it", onclick: () => change({ sign: turned }) }, icon(term.sign === "+" ? "plus" : "minus")),
      name,
      slider,
      value,
      h("button", { class: "act", type: "button", "aria-label": `Leave out ${term.text}`, title: "Leave out", onclick: () => go(terms.filter((_, at) => at !== n), rest) }, icon("close")),
    );
  });
  return h("ul", { class: "mix", "aria-label": "Terms of the query" }, chips);
}

// A text without its filters, and these as they were written.
function parted(text) {
  const rest = [...text.matchAll(FILTER)].map(([found]) => found.trim()).join(" ");
  return { q: text.replace(FILTER, " ").trim(), rest };
}

// A text with other filters than its own.
export function withFilters(text, filters) {
  const quoted = filters.map((filter) => (/\s/.test(filter) ? filter.replace(/=(.*)$/, '="$1"') : filter));
  return [parted(text).q, ...quoted].filter(Boolean).join(" ");
}

function go(terms, rest) {
  const text = [written(terms), rest].filter(Boolean).join(" ");
  location.hash = text ? `#/search?q=${encodeURIComponent(text)}` : "#/";
}

async function nameOf(text) {
  const [, id, moment] = text.match(TRACK);
  if (!names.has(id)) names.set(id, (await api.track(id)).title);
  return `${names.get(id)}${moment ?? ""}`;
}
