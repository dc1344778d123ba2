// Sheets over the page: something to read, or a question with its answer.

import { h, icon } from "./dom.js";

// A sheet that closes by its button, by Escape, and by a click beside it.
export function buildSheet(title, ...content) {
  const id = `sheet-${document.querySelectorAll("dialog").length}`;
  const close = h("button", { class: "act", type: "button", "aria-label": "Close", onclick: () => sheet.close() }, icon("close"));
  const sheet = h("dialog", { class: "card", "aria-labelledby": id }, h("header", {}, h("h2", { id }, title), close), content.flat());
  sheet.addEventListener("pointerdown", (event) => event.target === sheet && sheet.close());
  document.body.append(sheet);
  return sheet;
}

// Asks for a text, or only for consent where there is none to begin with; `act` may refuse by an error.
export function askFor({ title, note = "", label = "", value = null, verb, act }) {
  const input = value === null ? null : h("input", { type: "text", id: "asked", value, maxlength: 200, required: true, autocomplete: "off" });
  const problem = h("p", { class: "problem", role: "alert" });
  const form = h(
    "form",
    {},
    note ? h("p", {}, note) : null,
    input ? h("label", { for: "asked" }, label) : null,
    input,
    problem,
    h("div", { class: "ends" }, h("button", { class: "quiet", type: "button", onclick: () => sheet.close() }, "Cancel"), h("button", { class: "primary", type: "submit" }, verb)),
  );
  const sheet = buildSheet(title, form);
  sheet.addEventListener("close", () => sheet.remove());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await act(input?.value.trim());
      sheet.close();
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  sheet.showModal();
  input?.focus();
  input?.select();
}
