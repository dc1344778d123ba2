// What is kept in the library for those who hear it: likes here, playlists in views of their own.

import { api } from "./api.js";
import { h, icon } from "./dom.js";

export const kept = { isEditable: false, tellsPlaces: false, likes: new Set() };

const changes = new EventTarget();

export async function learnKept(library) {
  kept.isEditable = library.is_editable;
  kept.tellsPlaces = library.tells_places;
  await learnLikes();
}

export async function learnLikes() {
  kept.likes = new Set((await api.likes()).ids);
  changes.dispatchEvent(new Event("change"));
}

export async function toggleLike(track) {
  const { ids } = await api.like(track.id, !kept.likes.has(track.id));
  kept.likes = new Set(ids);
  changes.dispatchEvent(new Event("change"));
}

// Calls a function at each change of likes, for as long as an element is on the page; and once now.
export function onLikes(element, show) {
  const listener = () => {
    if (element.isConnected) show();
    else if (element.dataset.wasKept) changes.removeEventListener("change", listener);
  };
  requestAnimationFrame(() => (element.dataset.wasKept = "1"));
  changes.addEventListener("change", listener);
  show();
}

// `track` gives the one that is meant now.
export function heart(track) {
  const button = h("button", { class: "act heart", type: "button", onclick: () => toggleLike(track()) }, icon("heart"));
  button.show = () => {
    const now = track();
    if (!now) return;
    const isLiked = kept.likes.has(now.id);
    button.hidden = !kept.isEditable && !isLiked;
    button.disabled = !kept.isEditable;
    button.setAttribute("aria-pressed", isLiked);
    button.setAttribute("aria-label", `Like ${now.title}`);
    button.title = isLiked ? "Liked" : "Like";
  };
  onLikes(button, button.show);
  return button;
}
