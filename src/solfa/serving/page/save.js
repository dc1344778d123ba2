// The sheet that saves tracks: as a playlist of the library, or as a file for other players.

import { api } from "./api.js";
import { counted, h, icon } from "./dom.js";
import { kept } from "./kept.js";
import { remember, remembered } from "./memory.js";
import { buildSheet } from "./sheets.js";

const NEW = "new";
const LONGEST_NAME = 200; // letters of the name of a playlist

export async function saveTracks(tracks, name = "") {
  const ids = tracks.map(({ id }) => id);
  const said = h("p", { class: "said", role: "status" });
  const told = (work) => async (event) => {
    event.preventDefault();
    try {
      said.replaceChildren(...(await work()));
    } catch (error) {
      said.replaceChildren(error.message);
    }
  };
  const playlists = kept.isEditable ? (await api.playlists()).playlists : [];
  const parts = kept.isEditable ? [keepForm(ids, name, playlists, told)] : [];
  const sheet = buildSheet(`Save ${counted(ids.length, "track")}`, parts, fileForm(ids, name, told), said);
  sheet.addEventListener("close", () => sheet.remove());
  sheet.showModal();
  (sheet.querySelector("#playlist-name") ?? sheet.querySelector("select")).focus();
}

function keepForm(ids, name, playlists, told) {
  const input = h("input", { type: "text", id: "playlist-name", value: name.slice(0, LONGEST_NAME), maxlength: LONGEST_NAME, autocomplete: "off", placeholder: "Its name" });
  const options = playlists.map((one) => h("option", { value: one.id }, `Add to ${one.name} (${one.n_tracks})`));
  const select = h("select", { id: "playlist-which" }, h("option", { value: NEW }, "A new playlist"), options);
  const line = h("div", {}, h("label", { for: "playlist-name" }, "Name"), input);
  select.addEventListener("change", () => (line.hidden = select.value !== NEW));
  const save = async () => {
    if (select.value !== NEW) return done(await api.changePlaylist(select.value, { added: ids }));
    if (!input.value.trim()) return ["Give the playlist a name."];
    return done(await api.makePlaylist(input.value.trim(), ids));
  };
  return h(
    "form",
    { onsubmit: told(save) },
    h("label", { for: "playlist-which" }, "In the library"),
    select,
    line,
    h("button", { class: "primary", type: "submit" }, icon("list"), "Save playlist"),
  );
}

function done({ id, name, n_tracks }) {
  return ["Kept: ", h("a", { href: `#/playlist/${id}`, onclick: (event) => event.target.closest("dialog").close() }, name), `, ${counted(n_tracks, "track")}.`];
}

function fileForm(ids, name, told) {
  const prefix = h("input", { type: "text", id: "file-prefix", maxlength: 500, autocomplete: "off", spellcheck: "false", value: remembered("prefix", ""), placeholder: "/mnt/music or D:\\Music" });
  const ways = [
    kept.tellsPlaces ? ["default", "Where they lie on this machine"] : null,
    ["relative", "From the folder of the music on"],
    ["prefix", "Behind a folder of another machine"],
  ].filter(Boolean);
  const select = h("select", { id: "file-form" }, ways.map(([value, text]) => h("option", { value }, text)));
  const line = h("div", { hidden: true }, h("label", { for: "file-prefix" }, "The folder of the music there"), prefix);
  select.addEventListener("change", () => (line.hidden = select.value !== "prefix"));
  const save = async () => {
    if (select.value === "prefix" && !prefix.value.trim()) return ["Name the folder of the music on the other machine."];
    const naming = { default: {}, relative: { form: "relative" }, prefix: { prefix: prefix.value.trim() } }[select.value];
    if (select.value === "prefix") remember("prefix", prefix.value.trim());
    const address = URL.createObjectURL(await api.file(ids, naming));
    h("a", { href: address, download: `${fileName(name)}.m3u8` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    return [`Written: ${counted(ids.length, "track")}.`];
  };
  return h(
    "form",
    { onsubmit: told(save) },
    h("label", { for: "file-form" }, "As a file for other players (M3U): names of the tracks"),
    select,
    line,
    h("button", { class: "quiet", type: "submit" }, icon("save"), "Download"),
  );
}

function fileName(name) {
  return name.replace(/[^\p{L}\p{N} ._-]+/gu, " ").replace(/\s+/g, " ").trim().slice(0, 80) || "playlist";
}
