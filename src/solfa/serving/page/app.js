// The page: where one is, what is asked, keys, files that are dropped, and a server that goes away.

import { api, Gone, onGone } from "./api.js";
import { buildPlayer } from "./bar.js";
import { counted, h, icon, redrawAll } from "./dom.js";
import { showExplore, showGroup } from "./explore.js";
import { filterBar } from "./filters.js";
import { buildKeys, showKeys } from "./keys.js";
import { learnKept, toggleLike } from "./kept.js";
import { showMap, waitingMap } from "./map.js";
import { followMedia } from "./media.js";
import { remember } from "./memory.js";
import { mixBar, readQuery } from "./mix.js";
import { player } from "./player.js";
import { showPlaylist, showPlaylists } from "./playlists.js";
import { heading, listActions, message, moveFocus, rows, waitingRows } from "./rows.js";
import { lost, showTrack } from "./track.js";

const ASK_AGAIN_MS = 2000;
const TYPED_MS = 150; // without a further letter, before names are asked for
const FEWEST_LETTERS = 2;
const LONGEST_NAME = 200; // letters of what is typed that a name may begin with
const AT_ONCE = 200; // tracks in one answer
const MOST_QUEUED = 1000; // of a list that is played as a whole
const RINGED = 10; // tracks of the last search on the map

const at = (id) => document.getElementById(id);
const [view, query, hint] = [at("view"), at("query"), at("hint")];
let library = { knows_words: true, takes_files: true, examples: [], n_tracks: 0, notice: "", upload_bytes: Infinity, query_letters: Infinity };
let found = new Set(); // what the last search gave, to be seen on the map
let dropped = null; // the file that was searched by last, and what it found
let leaving = new AbortController();

function place() {
  const [path, parameters] = location.hash.replace(/^#/, "").split("?");
  const asked = new URLSearchParams(parameters);
  return { path: path || "/", q: asked.get("q") ?? "", parameters: asked };
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { path, q, parameters } = place();
  const id = path.match(/^\/track\/(\d+)$/)?.[1];
  const [, playlist, isAlike] = path.match(/^\/playlist\/(\d+)(\/similar)?$/) ?? [];
  const group = path.match(/^\/explore\/(\d+)$/)?.[1];
  document.documentElement.dataset.view = id ? "track" : path.split("/")[1] || "tracks";
  for (const [link, its] of [["to-map", "/map"], ["to-tracks", "/"], ["to-playlists", "/playlists"], ["to-explore", "/explore"]]) {
    if (path === its) at(link).setAttribute("aria-current", "page");
    else at(link).removeAttribute("aria-current");
  }
  if (path === "/" || path === "/search") query.value = q;
  view.setAttribute("aria-busy", "true");
  try {
    if (path === "/map") {
      view.replaceChildren(heading("Map", null), waitingMap(library.n_tracks));
      await showMap(view, found, signal);
    } else if (path === "/playlists") await showPlaylists(view, signal);
    else if (path === "/explore") await showExplore(view, parameters, signal);
    else if (group) await showGroup(view, group, signal);
    else if (isAlike) await showLikePlaylist(playlist, signal);
    else if (playlist) await showPlaylist(view, playlist, signal);
    else if (id) await showTrack(view, id, library, signal);
    else if (path === "/file" && dropped) showFound(`Sounds like ${dropped.name}`, dropped);
    else if (q.trim()) await showSearch(q, signal);
    else await showTracks([], signal);
  } catch (error) {
    fail(error, id);
  } finally {
    if (!signal.aborted) view.removeAttribute("aria-busy");
  }
  document.title = `${view.querySelector("h1")?.textContent ?? "solfa"} · solfa`;
}

function fail(error, id) {
  if (error.name === "AbortError" || error instanceof Gone) return;
  if (id) view.replaceChildren(lost(error));
  else {
    const all = h("a", { class: "quiet", href: "#/" }, "All tracks");
    const text = library.knows_words || !/words/.test(error.message) ? error.message : wordless();
    const box = message("This cannot be answered", text, all);
    box.setAttribute("role", "alert");
    view.replaceChildren(box);
  }
}

function wordless() {
  const all = 'Ask for what sounds like a track by its number (12), for a passage (12@1:35), for sums of them (12 + 30 - 7), or drop a file here.';
  return `${library.notice} ${library.takes_files ? all : all.replace(", or drop a file here", "")}`;
}

async function showSearch(text, signal) {
  const { q, filters } = readQuery(text);
  view.replaceChildren(heading(`“${text}”`, null), waitingRows(8));
  if (!q) return showTracks(filters, signal);
  if (q.length > library.query_letters) throw new Error(tooLong(q));
  const answer = await api.search(q, filters, signal);
  const number = q.match(/^#?(\d+)(@\S+)?$/);
  const like = number && (await api.track(number[1], signal)).title;
  showFound(like ? `More like ${like}${number[2] ? ` at ${number[2].slice(1)}` : ""}` : q, answer, filters);
  view.firstElementChild.after(...[mixBar(text), filterBar(text)].filter(Boolean));
  return undefined;
}

function tooLong(q) {
  const [n, most] = [q.length, library.query_letters].map((letters) => letters.toLocaleString("en"));
  return `This query has ${n} letters, and at most ${most} are read. Ask in fewer words.`;
}

async function showLikePlaylist(id, signal) {
  view.replaceChildren(heading("More like these", null), waitingRows(8));
  const [{ name, is_of_likes }, answer] = await Promise.all([api.playlist(id, signal), api.likePlaylist(id, signal)]);
  showFound(is_of_likes ? "More like what is liked" : `More like ${name}`, answer);
}

function showFound(title, { matches, named = [], notices = [] }, filters = []) {
  const tracks = [...new Map([...named, ...matches.map(({ track }) => track)].map((track) => [track.id, track])).values()];
  found = new Set(tracks.slice(0, RINGED).map(({ id }) => id));
  const nothing = () => message("Nothing found", library.n_tracks ? why(filters) : empty(), h("a", { class: "quiet", href: "#/" }, "All tracks"));
  const parts = named.length ? [h("h2", { class: "group" }, "By name"), rows(named.map((track) => ({ track })), "Tracks of that name")] : [];
  if (named.length && matches.length) parts.push(h("h2", { class: "group" }, "By sound"));
  parts.push(...notices.map((text) => h("p", { class: "note told", role: "status" }, text))); // which are about the sound
  if (matches.length) parts.push(rows(matches, "Tracks found"));
  const actions = tracks.length ? listActions(() => tracks, title) : [];
  view.replaceChildren(heading(title, named.length + matches.length, "track", ...actions), ...(parts.length ? parts : [nothing()]));
}

function why(filters) {
  return filters.length ? "No track passes the filters. Leave one out, or widen its range." : "No track has these words in its title, artist, album or folder.";
}

async function showTracks(filters, signal) {
  if (!view.querySelector(".rows")) view.replaceChildren(heading("All tracks", null), waitingRows(8));
  const { tracks, n_tracks } = await api.tracks(filters, 0, signal);
  found = new Set();
  if (!n_tracks && filters.length) {
    showFound("Tracks", { matches: [] }, filters);
    return view.firstElementChild.after(filterBar(place().q));
  }
  if (!n_tracks) return view.replaceChildren(message("This library is empty", empty()));
  const list = rows(tracks.map((track) => ({ track })), "Tracks");
  const more = h("button", { class: "quiet wide", type: "button" }, "Show more");
  more.addEventListener("click", async () => {
    const next = await api.tracks(filters, list.children.length, signal);
    list.add(next.tracks.map((track) => ({ track })));
    more.hidden = list.children.length >= n_tracks;
  });
  more.hidden = tracks.length >= n_tracks;
  const actions = listActions((isShuffled) => allTracks(filters, n_tracks, isShuffled), filters.join(" "));
  view.replaceChildren(heading(filters.length ? "Tracks" : "All tracks", n_tracks, "track", ...actions), filterBar(place().q), list, more);
  return undefined;
}

// All that pass the filters, or of too many the first; some from everywhere if they are shuffled anyway.
async function allTracks(filters, n_tracks, isShuffled) {
  const step = isShuffled && n_tracks > MOST_QUEUED ? Math.floor(n_tracks / (MOST_QUEUED / AT_ONCE)) : AT_ONCE;
  const offsets = Array.from({ length: Math.min(MOST_QUEUED / AT_ONCE, Math.ceil(n_tracks / step)) }, (_, n) => n * step);
  const pages = await Promise.all(offsets.map((offset) => api.tracks(filters, offset, undefined, AT_ONCE)));
  return pages.flatMap(({ tracks }) => tracks);
}

function empty() {
  return "Add music to it and reload the page: solfa index MUSIC --library LIBRARY";
}

async function searchByFile(file) {
  if (!file) return;
  if (!library.takes_files) return fail(new Error(`Files cannot be compared now. ${library.notice}`));
  if (file.size > library.upload_bytes) {
    return fail(new Error(`${file.name} is too large: at most ${Math.round(library.upload_bytes / 1e6)} MB are taken.`));
  }
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  view.replaceChildren(heading(`Listening to ${file.name} …`, null), waitingRows(6));
  view.setAttribute("aria-busy", "true");
  try {
    const answer = await api.searchByFile(file, readQuery(query.value).filters, signal);
    dropped = { ...answer, name: file.name };
    if (place().path === "/file") await show();
    else location.hash = "#/file";
  } catch (error) {
    fail(error);
  } finally {
    view.removeAttribute("aria-busy");
  }
  return undefined;
}

// Names that go on as the query begins, offered while it is typed.
let asked = 0;
async function offerNames() {
  const [number, text] = [(asked += 1), query.value.replace(/^\s*named\s*:/i, "").trim().slice(0, LONGEST_NAME)];
  await new Promise((done) => setTimeout(done, TYPED_MS));
  if (number !== asked) return;
  const { names } = text.length < FEWEST_LETTERS ? { names: [] } : await api.names(text).catch(() => ({ names: [] }));
  if (number !== asked) return;
  at("names").replaceChildren(...names.map(({ text: name, kind }) => h("option", { value: `named: ${name}`, label: `${name} (${kind})` })));
}

async function learn() {
  library = await api.library();
  await learnKept(library);
  at("library").textContent = `${library.name} · ${counted(library.n_tracks, "track")}`;
  query.placeholder = library.knows_words ? "calm piano + choir - drums, more like 12, named: …" : "more like 12, 12@1:35, 12 + 30 - 7 …";
  hint.textContent = library.knows_words ? "" : `${library.notice} It finds what sounds like a track, a passage or a file.`;
  hint.hidden = library.knows_words;
  at("pick").hidden = !library.takes_files;
  const link = ({ label, query: text }) => h("a", { href: `#/search?q=${encodeURIComponent(text)}` }, label);
  at("examples").replaceChildren(h("span", { "aria-hidden": "true" }, "Try"), ...library.examples.map(link));
}

function followServer(isGone) {
  const banner = at("gone");
  banner.hidden = !isGone;
  if (!isGone) return;
  banner.textContent = "The server does not answer. Start it again with solfa serve; the page goes on by itself.";
  const again = async () => {
    try {
      await learn();
      await show();
    } catch {
      setTimeout(again, ASK_AGAIN_MS);
    }
  };
  setTimeout(again, ASK_AGAIN_MS);
}

function chooseTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  const button = at("theme");
  const label = () => {
    const other = now() === "dark" ? "light" : "dark";
    button.replaceChildren(icon(other === "dark" ? "moon" : "sun"));
    button.setAttribute("aria-label", `Use ${other} colours`);
    button.title = `Use ${other} colours`;
    redrawAll();
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = now() === "dark" ? "light" : "dark";
    remember("theme", now());
    label();
  });
  dark.addEventListener("change", label);
  label();
}

function back() {
  const { activeElement } = document;
  if (next.toggle(false)) return;
  if (activeElement === query && query.value) query.value = "";
  else if (activeElement === query) query.blur();
  else if (place().path !== "/" || place().q) history.back();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const { target, key } = event;
  if (document.querySelector("dialog[open]")) return;
  const isRange = target.matches("[type=range]"); // which has arrows of its own
  const isField = !isRange && target.matches("input:not([type=checkbox]), textarea, select");
  const actions = {
    ArrowDown: () => !isRange && (!isField || (target === query && !at("names").children.length)) && moveFocus(1),
    ArrowUp: () => !isRange && !isField && moveFocus(-1),
    Escape: () => back() ?? true,
  };
  if (!isField) {
    actions["/"] = () => query.focus() ?? query.select() ?? true;
    actions.ArrowLeft = () => !isRange && (player.step(-1) ?? true);
    actions.ArrowRight = () => !isRange && (player.step(1) ?? true);
    actions["?"] = showKeys;
    actions.n = () => player.track && (player.next() ?? true);
    actions.p = () => player.track && (player.previous() ?? true);
    actions.m = () => player.track && (player.mute() ?? true);
    actions.l = () => player.track && library.is_editable && (toggleLike(player.track) && true);
    actions.q = () => player.track && (next.toggle() || true);
    if (!target.matches("button, a, summary, input")) actions[" "] = () => player.track && (player.toggle() ?? true);
  }
  if (Object.hasOwn(actions, key) && actions[key]()) event.preventDefault();
}

function takeFiles() {
  const sheet = at("drop");
  const has = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragover", (event) => {
    if (!has(event)) return;
    event.preventDefault();
    sheet.hidden = false;
  });
  addEventListener("dragleave", (event) => (sheet.hidden = sheet.hidden || event.relatedTarget === null));
  addEventListener("drop", (event) => {
    sheet.hidden = true;
    if (!has(event)) return;
    event.preventDefault();
    searchByFile(event.dataTransfer.files[0]);
  });
  at("pick").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", ({ target }) => {
    searchByFile(target.files[0]);
    target.value = "";
  });
}

at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  asked += 1;
  at("names").replaceChildren();
  const wanted = query.value.trim() ? `#/search?q=${encodeURIComponent(query.value.trim())}` : "#/";
  if (location.hash === wanted) show();
  else location.hash = wanted;
});
query.addEventListener("input", offerNames);
addEventListener("hashchange", async () => {
  await show();
  if (document.activeElement === document.body) view.focus({ preventScroll: true });
  scrollTo(0, 0);
});
addEventListener("keydown", onKey);
onGone(followServer);
chooseTheme();
takeFiles();
const next = buildPlayer(at("player"));
followMedia();
buildKeys(at("keys"));
learn().then(show, (error) => fail(error));
