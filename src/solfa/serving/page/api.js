// The API of the server, with errors that say what to do.

const root = new URL("../api/", import.meta.url).href; // below whatever path a proxy has put the page

export class Gone extends Error {}

const listeners = new Set();
let isGone = false;

export function onGone(listener) {
  listeners.add(listener);
}

function tell(gone) {
  if (gone === isGone) return;
  isGone = gone;
  listeners.forEach((listener) => listener(gone));
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`${root}${path}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    tell(true);
    throw new Gone("The server does not answer.");
  }
  tell(false);
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Error(body.error || `The server answered with error ${response.status}.`);
}

function asked(values) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null) parameters.append(name, one);
  }
  return parameters;
}

async function get(path, values = {}, signal = undefined) {
  return (await ask(`${path}?${asked(values)}`, { signal })).json();
}

async function send(method, path, body = undefined) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  return (await ask(path, { method, headers, body: body && JSON.stringify(body) })).json();
}

export const api = {
  library: () => get("library"),
  tracks: (filter, offset, signal, n = 50) => get("tracks", { filter, offset, n }, signal),
  search: (q, filter, signal) => get("search", { q, filter, n: 30 }, signal),
  names: (q) => get("names", { q }),
  track: (id, signal) => get(`tracks/${id}`, {}, signal),
  similar: (id, segment, signal, n = 8) => get(`tracks/${id}/similar`, { segment, n }, signal),
  tags: (id, tag, signal) => get(`tracks/${id}/tags`, { tag }, signal),
  similarity: (id, signal) => get(`tracks/${id}/similarity`, {}, signal),
  map: (signal) => get("map", {}, signal),
  mapClusters: () => get("map/clusters"),
  path: (start, end, n, signal) => get("path", { start, end, n }, signal),
  clusters: (signal) => get("clusters", {}, signal),
  duplicates: (signal) => get("duplicates", {}, signal),
  facets: (filter, signal) => get("facets", { filter }, signal),
  audio: (id, form) => `${root}tracks/${id}/audio?form=${form}`,
  async searchByFile(file, filter, signal) {
    const headers = { "Content-Type": "application/octet-stream" };
    const path = `query?${asked({ filter, n: 30 })}`;
    return (await ask(path, { method: "POST", body: file, headers, signal })).json();
  },
  playlists: (signal) => get("playlists", {}, signal),
  playlist: (id, signal) => get(`playlists/${id}`, {}, signal),
  likePlaylist: (id, signal) => get(`playlists/${id}/similar`, { n: 30 }, signal),
  makePlaylist: (name, ids) => send("POST", "playlists", { name, ids }),
  changePlaylist: (id, change) => send("PATCH", `playlists/${id}`, change),
  removePlaylist: (id) => ask(`playlists/${id}`, { method: "DELETE" }),
  likes: () => get("likes"),
  like: (id, likes) => send(likes ? "PUT" : "DELETE", `likes/${id}`),
  async file(ids, naming) {
    const headers = { "Content-Type": "application/json" };
    return (await ask("playlist", { method: "POST", body: JSON.stringify({ ids, ...naming }), headers })).blob();
  },
};

// Waveforms take the server a moment each: three at a time, each once.
const waveforms = new Map();
const waiting = [];
let running = 0;

export function waveform(id) {
  if (!waveforms.has(id)) {
    const promise = new Promise((resolve, reject) => waiting.push({ id, resolve, reject }));
    promise.catch(() => waveforms.delete(id));
    waveforms.set(id, promise);
    next();
  }
  return waveforms.get(id);
}

function next() {
  if (running >= 3 || !waiting.length) return;
  const { id, resolve, reject } = waiting.pop(); // the last asked for is the one in sight
  running += 1;
  get(`tracks/${id}/waveform`)
    .then(resolve, reject)
    .finally(() => {
      running -= 1;
      next();
    });
}
