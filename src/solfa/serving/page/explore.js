// Ways through the library: a path between two tracks, groups that sound alike, recordings that are there twice.

import { api } from "./api.js";
import { clock, counted, h, icon } from "./dom.js";
import { player } from "./player.js";
import { heading, listActions, message, rows, waitingRows } from "./rows.js";
import { saveTracks } from "./save.js";

const BETWEEN = { min: 1, max: 30, otherwise: 8 };
const LOOK_AGAIN_MS = 1000;
const NAMED = 3; // tracks that stand for a group
const KINDS = {
  copy: () => "The same file twice",
  same: () => "The same recording in two files",
  cut: ({ offset }) => `The second is a part of the first, from ${clock(offset)} on`,
};
let groups = null; // as long as the page is open

export async function showExplore(view, parameters, signal) {
  const [path, alike, twice] = [section("A path from one track to another", "path"), section("Groups that sound alike", "groups"), section("Recordings that are there twice", "twice")];
  view.replaceChildren(heading("Explore", null), path, alike, twice);
  twice.append(look(signal));
  const fill = (part, work) => work.catch((error) => error.name === "AbortError" || part.append(h("p", { class: "note", role: "alert" }, error.message)));
  await Promise.all([fill(path, fillPath(path, parameters, signal)), fill(alike, fillGroups(alike, signal))]);
}

function section(title, name) {
  return h("section", { class: `part ${name}`, "aria-labelledby": `part-${name}` }, h("h2", { id: `part-${name}` }, title));
}

async function fillPath(part, parameters, signal) {
  const [from, to] = [parameters.get("from"), parameters.get("to")];
  const n = Number(parameters.get("n") ?? BETWEEN.otherwise);
  const field = (id, label, value) => {
    const input = h("input", { type: "text", id, value, maxlength: 200, required: true, autocomplete: "off", list: "path-names", placeholder: "Name or number" });
    return h("div", { class: "field" }, h("label", { for: id }, label), input);
  };
  const names = h("datalist", { id: "path-names" });
  const between = h("input", { type: "range", id: "path-n", min: BETWEEN.min, max: BETWEEN.max, value: n });
  const told = h("output", { for: "path-n" }, String(n));
  between.addEventListener("input", () => (told.textContent = between.value));
  const problem = h("p", { class: "note", role: "alert" });
  const form = h(
    "form",
    { class: "journey" },
    field("path-from", "From", await titled(from, signal)),
    field("path-to", "To", await titled(to, signal)),
    h("div", { class: "field between" }, h("label", { for: "path-n" }, "Tracks between"), h("div", {}, between, told)),
    h("button", { class: "primary", type: "submit" }, icon("path"), "Find the path"),
    names,
  );
  form.addEventListener("input", ({ target }) => target.list && offer(target, names));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const [start, end] = await Promise.all(["from", "to"].map((end) => numberOf(form.querySelector(`#path-${end}`).value, signal)));
      location.hash = `#/explore?from=${start}&to=${end}&n=${between.value}`;
      problem.textContent = "";
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  part.append(form, problem);
  if (!from || !to) return;
  const waiting = waitingRows(4);
  part.append(waiting);
  const { tracks } = await api.path(from, to, n, signal).finally(() => waiting.remove());
  const title = `From ${tracks[0].title} to ${tracks.at(-1).title}`;
  part.append(
    h("div", { class: "heading found" }, h("p", { class: "status", role: "status" }, counted(tracks.length, "track")), h("div", { class: "actions" }, listActions(() => tracks, title))),
    rows(tracks.map((track) => ({ track })), "Tracks of the path"),
  );
}

// How a track stands in a field: its number, and its title for who reads it.
async function titled(id, signal) {
  return id ? `${id} · ${(await api.track(id, signal)).title}` : "";
}

// The number of the track that somebody means.
async function numberOf(text, signal) {
  const number = text.match(/^\s*#?(\d+)\s*(?:·|$)/)?.[1];
  if (number) return number;
  const { named } = await api.search(`named: ${text}`, [], signal);
  if (!named.length) throw new Error(`No track is called “${text}”. Give its number, or words of its name.`);
  return named[0].id;
}

let asked = 0;
async function offer(input, names) {
  const number = (asked += 1);
  await new Promise((done) => setTimeout(done, 150));
  if (number !== asked || input.value.trim().length < 2 || /^\s*#?\d/.test(input.value)) return;
  const { named } = await api.search(`named: ${input.value}`, []).catch(() => ({ named: [] }));
  if (number === asked) names.replaceChildren(...named.map(({ id, title, artist }) => h("option", { value: `${id} · ${title}`, label: [title, artist].filter(Boolean).join(", ") })));
}

async function fillGroups(part, signal) {
  const waiting = waitingRows(4);
  part.append(waiting);
  const { clusters } = await allGroups(signal).finally(() => waiting.remove());
  if (clusters.length) part.append(h("ol", { class: "rows shelf", "aria-label": "Groups" }, clusters.map(groupRow)));
  else part.append(h("p", { class: "note" }, "The library is empty."));
}

async function allGroups(signal) {
  groups ??= await api.clusters(signal);
  return groups;
}

function groupRow({ name, n_tracks, tracks }, n) {
  const some = tracks.slice(0, NAMED).map(({ title }) => title).join(", ");
  return h(
    "li",
    { class: "row" },
    h("button", { class: "play", type: "button", "aria-label": `Play ${name}`, onclick: () => player.playAll(tracks, false) }, icon("play")),
    h("div", { class: "words" }, h("a", { class: "title", href: `#/explore/${n + 1}` }, name), h("span", { class: "by" }, `${counted(n_tracks, "track")}  ·  ${some}${n_tracks > NAMED ? " …" : ""}`)),
    h("div", { class: "acts" }, h("button", { class: "act", type: "button", "aria-label": `Save ${name}`, title: "Save", onclick: () => saveTracks(tracks, name) }, icon("list"))),
  );
}

export async function showGroup(view, number, signal) {
  view.replaceChildren(heading("A group", null), waitingRows(6));
  const group = (await allGroups(signal)).clusters[number - 1];
  const all = h("a", { class: "quiet", href: "#/explore" }, icon("back"), "All groups");
  if (!group) return view.replaceChildren(message("There is no such group", "The library may have changed.", all));
  const { name, n_tracks, tracks } = group;
  return view.replaceChildren(h("nav", { class: "crumb", "aria-label": "Back" }, all), heading(name, n_tracks, "track", ...listActions(() => tracks, name)), rows(tracks.map((track) => ({ track })), "Tracks of the group"));
}

// A look for doubles takes the server a while; what it has found stays there.
function look(signal) {
  const status = h("p", { class: "note", role: "status" }, "Tracks that sound alike are compared by fingerprints of their files. Nothing is removed.");
  const button = h("button", { class: "quiet", type: "button" }, icon("search"), "Look for them");
  const found = h("div");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      let answer = await api.duplicates(signal);
      while (!answer.is_done) {
        status.textContent = answer.n_pairs ? `Comparing: ${answer.n_done.toLocaleString("en")} of ${counted(answer.n_pairs, "pair")} …` : "Comparing …";
        await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
        answer = await api.duplicates(signal);
      }
      status.textContent = answer.duplicates.length ? counted(answer.duplicates.length, "pair") : "No recording is there twice.";
      found.replaceChildren(...answer.duplicates.map(pair));
    } catch (error) {
      if (error.name !== "AbortError") status.textContent = error.message;
    }
    button.disabled = false;
  });
  return h("div", {}, button, status, found);
}

function pair(double) {
  const { first, second, kind, agreement } = double;
  const words = `${KINDS[kind](double)}${kind === "copy" ? "" : `  ·  ${Math.round(agreement * 100)} % of the fingerprint agrees`}`;
  return h("div", { class: "double" }, h("h3", { class: "group" }, words), rows([{ track: first }, { track: second }], words));
}
