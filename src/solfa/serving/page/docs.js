// The description of the API as a page, from openapi.json.

import { h } from "./dom.js";

function nameOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(nameOf).filter((name) => name !== "null").join(" or ");
  if (schema.enum) return schema.enum.join(" or ");
  if (schema.const) return schema.const;
  return schema.type === "array" ? `list of ${nameOf(schema.items)}` : (schema.type ?? "anything");
}

function table(headings, lines) {
  const head = h("tr", {}, headings.map((text) => h("th", { scope: "col" }, text)));
  const body = lines.map((cells) => h("tr", {}, cells.map((text) => h("td", {}, text))));
  return h("table", {}, h("thead", {}, head), h("tbody", {}, body));
}

function route(path, method, about, schemas) {
  const parameters = (about.parameters ?? []).map(({ name, required, schema, description }) => [
    h("code", {}, name),
    nameOf(schema) + (required ? ", needed" : schema.default !== undefined ? `, else ${JSON.stringify(schema.default)}` : ""),
    description ?? "",
  ]);
  const [kind, content] = Object.entries(about.responses["200"]?.content ?? {})[0] ?? ["", {}];
  const answer = nameOf(content.schema);
  const fields = Object.entries(schemas[answer]?.properties ?? {}).map(([name, schema]) => [h("code", {}, name), nameOf(schema)]);
  return h(
    "section",
    {},
    h("h2", {}, h("b", {}, method.toUpperCase()), ` ${path}`),
    h("p", {}, about.description ?? about.summary),
    parameters.length ? table(["parameter", "is", "means"], parameters) : null,
    h("p", { class: "note" }, fields.length ? `Answers ${answer}:` : `Answers ${kind || "bytes"}.`),
    fields.length ? table(["field", "is"], fields) : null,
  );
}

const about = document.getElementById("about");
try {
  const answer = await fetch("openapi.json");
  const { info, paths, components } = await answer.json();
  about.textContent = info.description.replaceAll("`", "");
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => method !== "head")
      .map(([method, its]) => route(path, method, its, components.schemas)),
  );
  const others = ["TrackAnswer", "MatchAnswer", "TagBar", "MapPoint", "Example", "PlaylistWish"].filter((name) => components.schemas[name]);
  const shapes = others.map((name) => {
    const { properties, description } = components.schemas[name];
    const lines = Object.entries(properties).map(([field, schema]) => [h("code", {}, field), nameOf(schema)]);
    return h("section", { id: name }, h("h2", {}, name), h("p", {}, description ?? ""), table(["field", "is"], lines));
  });
  document.getElementById("routes").replaceChildren(...routes, ...shapes);
} catch {
  about.textContent = "The server does not answer. Start it again: solfa serve LIBRARY";
}
