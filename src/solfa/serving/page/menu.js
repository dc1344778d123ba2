// A button behind which there is a menu: what can be done with a track.

import { h, icon } from "./dom.js";

let open = null; // the menu that is open, and the button that it belongs to

// `items` gives [icon, words, what happens] for each, whenever the menu is opened.
export function menuButton(label, items) {
  const button = h("button", { class: "act menu-button", type: "button", "aria-label": label, title: "More", "aria-haspopup": "menu", "aria-expanded": "false" }, icon("more"));
  button.addEventListener("click", () => {
    const wasOpen = open?.button === button;
    close();
    if (!wasOpen) show(button, label, items());
  });
  return button;
}

function show(button, label, items) {
  const entry = ([name, words, act]) =>
    h("button", { type: "button", role: "menuitem", tabindex: "-1", onclick: () => { close(true); act(); } }, icon(name), words);
  const menu = h("div", { class: "menu", role: "menu", "aria-label": label }, items.map(entry));
  document.body.append(menu);
  open = { menu, button };
  button.setAttribute("aria-expanded", "true");
  const { right, bottom, top } = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = bottom + 4 + height < innerHeight - 8;
  menu.style.left = `${Math.max(8, Math.min(right - width, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, below ? bottom + 4 : top - height - 4)}px`;
  menu.firstChild.focus({ preventScroll: true });
  menu.addEventListener("keydown", onKey);
}

export function close(isDone = false) {
  if (!open) return;
  const { menu, button } = open;
  const hadFocus = menu.contains(document.activeElement);
  open = null;
  menu.remove();
  button.setAttribute("aria-expanded", "false");
  if (isDone || hadFocus) button.focus({ preventScroll: true });
}

function onKey(event) {
  const items = [...open.menu.children];
  const now = items.indexOf(document.activeElement);
  const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
  if (to !== undefined) items.at(to % items.length).focus();
  else if (event.key === "Escape" || event.key === "Tab") close(true);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

addEventListener("pointerdown", (event) => open && !open.menu.contains(event.target) && !open.button.contains(event.target) && close());
addEventListener("scroll", () => close(), { capture: true, passive: true });
addEventListener("resize", () => close());
addEventListener("hashchange", () => close());
