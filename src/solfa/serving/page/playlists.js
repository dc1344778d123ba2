// Views of what is kept: all playlists, and one of them to be played and changed.

import { api } from "./api.js";
import { counted, h, icon } from "./dom.js";
import { kept, learnLikes, onLikes } from "./kept.js";
import { menuButton } from "./menu.js";
import { player } from "./player.js";
import { heading, listActions, message, rows } from "./rows.js";
import { saveTracks } from "./save.js";
import { askFor } from "./sheets.js";

export async function showPlaylists(view, signal) {
  const { playlists } = await api.playlists(signal);
  if (!playlists.length) {
    const text = "Save any list, what comes next, or a part of the map as a playlist; or like a track by its heart.";
    view.replaceChildren(heading("Playlists", 0, "playlist"), message("Nothing is kept yet", text, h("a", { class: "quiet", href: "#/" }, "All tracks")));
    return;
  }
  const again = () => showPlaylists(view, signal);
  view.replaceChildren(heading("Playlists", playlists.length, "playlist"), h("ol", { class: "rows shelf", "aria-label": "Playlists" }, playlists.map((one) => line(one, again))));
}

function line(playlist, again) {
  const tracks = async () => (await api.playlist(playlist.id)).tracks;
  const play = h("button", { class: "play", type: "button", "aria-label": `Play ${playlist.name}`, onclick: async () => player.playAll(await tracks(), false) }, icon("play"));
  return h(
    "li",
    { class: "row" },
    play,
    h("div", { class: "words" }, h("a", { class: "title", href: `#/playlist/${playlist.id}` }, playlist.is_of_likes ? icon("heart") : null, playlist.name), h("span", { class: "by" }, counted(playlist.n_tracks, "track"))),
    h("div", { class: "acts" }, menuButton(`More about ${playlist.name}`, () => choices(playlist, tracks, again, again))),
  );
}

// What can be done with a playlist; afterwards it is `renamed` or `removed`.
function choices(playlist, tracks, renamed, removed) {
  const rename = () =>
    askFor({ title: "Rename the playlist", label: "Name", value: playlist.name, verb: "Rename", act: async (name) => { await api.changePlaylist(playlist.id, { name }); await renamed(); } });
  const remove = () =>
    askFor({ title: `Remove ${playlist.name}?`, note: "Its tracks stay in the library.", verb: "Remove", act: async () => { await api.removePlaylist(playlist.id); await learnLikes(); await removed(); } });
  const all = [["like", "More like these", () => (location.hash = `#/playlist/${playlist.id}/similar`)], ["save", "Save or download", async () => saveTracks(await tracks(), playlist.name)]];
  if (kept.isEditable && !playlist.is_of_likes) all.push(["pen", "Rename", rename]);
  if (kept.isEditable) all.push(["bin", "Remove", remove]);
  return all;
}

export async function showPlaylist(view, id, signal) {
  const playlist = await api.playlist(id, signal);
  const again = () => showPlaylist(view, id, signal);
  let { tracks } = playlist;
  const keep = async (changed) => {
    await api.changePlaylist(id, { ids: changed.map((track) => track.id) });
    await again();
  };
  const more = menuButton("More about the playlist", () => choices(playlist, () => tracks, again, () => (location.hash = "#/playlists")));
  const alike = h("a", { class: "quiet", href: `#/playlist/${id}/similar` }, icon("like"), "More like these");
  const missing = playlist.n_missing ? h("p", { class: "note" }, `${counted(playlist.n_missing, "track")} of it left the library; index the music again to get them back.`) : null;
  const edits = (track, at) => {
    if (!kept.isEditable) return [];
    const moved = (to) => () => keep(tracks.toSpliced(at, 1).toSpliced(to, 0, track));
    return [
      at > 0 ? ["up", "Move up", moved(at - 1)] : null,
      at < tracks.length - 1 ? ["down", "Move down", moved(at + 1)] : null,
      ["close", "Take out", () => keep(tracks.toSpliced(at, 1))],
    ].filter(Boolean);
  };
  const list = rows(tracks.map((track) => ({ track })), "Tracks of the playlist", "rows", edits);
  view.replaceChildren(heading(playlist.name, tracks.length, "track", ...(tracks.length ? [...listActions(() => tracks, playlist.name), alike] : []), more), list, missing ?? "");
  if (!tracks.length) list.replaceWith(h("p", { class: "note" }, "It holds nothing now. Add tracks by their menus."));
  if (!playlist.is_of_likes) return;
  const before = kept.likes.size; // what is liked no longer leaves the list
  onLikes(list, () => kept.likes.size < before && !signal.aborted && again());
}
