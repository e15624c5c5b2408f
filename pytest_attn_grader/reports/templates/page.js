"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  if (!data.maps.length) return;
  const byId = (id) => document.getElementById(id);
  const make = (tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };
  const DASH = "–";
  const MAX_ROWS = 16;
  const show = (value) => (value === null ? DASH : (value / 1000).toFixed(2));
  const tokens = data.tokens;
  const chosen = { layer: data.layer, head: data.head, query: data.query };
  const layers = [...new Set(data.maps.map((map) => map.layer))];
  const headsOf = (layer) => data.maps.filter((map) => map.layer === layer).map((map) => map.head);
  const current = () => data.maps.find((map) => map.layer === chosen.layer && map.head === chosen.head);
  const minus = (student, reference) => (student === null || reference === null ? null : student - reference);

  const drawMap = (place, matrix, name, signed) => {
    const table = make("table", { "aria-label": `${name}: attention of each token (rows) to each token (columns)` });
    const columns = table.appendChild(make("colgroup"));
    columns.append(make("col", { class: "names" }), ...tokens.map(() => make("col")));
    const header = table.appendChild(make("thead")).appendChild(make("tr"));
    header.append(make("td", { "aria-hidden": "true", style: "background:none" }));
    for (const token of tokens) header.append(make("th", { scope: "col", title: token }, token));
    const body = table.appendChild(make("tbody"));
    matrix.forEach((row, query) => {
      const line = body.appendChild(make("tr", query === chosen.query ? { class: "chosen" } : {}));
      const button = make("button", { type: "button", "aria-pressed": String(query === chosen.query), "data-query": query }, tokens[query]);
      line.appendChild(make("th", { scope: "row" })).append(button);
      row.forEach((value, key) => {
        const cell = make("td", { "data-query": query, "data-key": key, tabindex: query === chosen.query && key === 0 ? "0" : "-1" });
        const size = value === null ? 0 : Math.min(Math.abs(value) / 1000, 1);
        cell.style.setProperty("--value", size);
        if (value === null) cell.classList.add("broken");
        if (size > (signed ? 0.75 : 0.6)) cell.classList.add("strong");
        if (signed && value < 0) cell.classList.add("less");
        if (tokens.length <= 8 && size >= 0.01) cell.textContent = show(value).replace("0.", ".");
        cell.setAttribute("aria-label", `${tokens[query]} to ${tokens[key]}: ${show(value)}`);
        line.append(cell);
      });
    });
    place.replaceChildren(table);
  };

  const read = (query, key) => {
    const map = current();
    const [reference, student] = [map.reference[query][key], map.student[query][key]];
    const reason = student === null ? " (your weight is NaN or infinite)" : "";
    byId("reading").textContent = `${tokens[query]} → ${tokens[key]}: reference ${show(reference)}, yours ${show(student)}, difference ${show(minus(student, reference))}${reason}`;
  };

  const drawRows = () => {
    const map = current();
    const title = byId("rows-title");
    title.replaceChildren(`Where “${tokens[chosen.query]}” looks`);
    for (const [role, name] of [["reference", "reference"], ["student", "yours"]]) title.append(make("span", { class: `key bar ${role}` }), name);
    const strength = (key) => Math.max(...["reference", "student"].map((role) => map[role][chosen.query][key] ?? 1000));
    let keys = tokens.map((_, key) => key);
    if (keys.length > MAX_ROWS) {
      keys = keys.sort((one, other) => strength(other) - strength(one)).slice(0, MAX_ROWS).sort((one, other) => one - other);
      title.append(make("span", { class: "quiet" }, ` (the ${MAX_ROWS} strongest keys)`));
    }
    byId("rows").replaceChildren(...keys.map((key) => {
      const line = make("div", { class: "row" });
      line.append(make("span", { class: "name" }, tokens[key]));
      for (const role of ["reference", "student"]) {
        const value = map[role][chosen.query][key];
        const bar = make("span", { class: `bar ${role}` });
        bar.style.setProperty("--value", value === null ? 0 : Math.max(0, Math.min(value / 1000, 1)));
        line.append(bar, make("span", { class: "amount" }, show(value)));
      }
      return line;
    }));
  };

  const drawMetrics = () => {
    const metrics = data.metrics[`${chosen.layer}.${chosen.head}`];
    byId("map-note").textContent = metrics.note;
    byId("metrics").replaceChildren(...metrics.values.map(([name, value]) => {
      const item = make("div");
      item.append(make("dt", {}, name), make("dd", {}, value));
      return item;
    }));
    byId("metrics").setAttribute("aria-label", `Metrics of layer ${chosen.layer}, head ${chosen.head}`);
  };

  const draw = () => {
    const map = current();
    const difference = map.student.map((row, query) => row.map((value, key) => minus(value, map.reference[query][key])));
    drawMap(byId("map-reference"), map.reference, "Reference", false);
    drawMap(byId("map-student"), map.student, "Yours", false);
    drawMap(byId("map-difference"), difference, "Difference", true);
    drawMetrics();
    byId("heads").replaceChildren(...headsOf(chosen.layer).map((head) =>
      make("button", { type: "button", "data-head": head, "aria-pressed": String(head === chosen.head) }, `Head ${head}`)));
    drawRows();
    const apart = difference[chosen.query].map((value) => (value === null ? 1000 : Math.abs(value)));
    // Where the maps agree, the strongest key is shown.
    const shown = Math.max(...apart) < 5 ? map.reference[chosen.query] : apart;
    read(chosen.query, shown.indexOf(Math.max(...shown)));
  };

  const drawDrift = () => {
    const place = byId("drift");
    if (!place) return;
    const values = data.drift;
    const last = values.length - 1;
    const step = Math.ceil(last / 8);
    // The last label is always shown, so the one before it must not be near.
    const labelled = (at) => at === last || (at % step === 0 && last - at >= step);
    const [width, height, top] = [440, 150, Math.max(...values.map((value) => value ?? 0), 0.01)];
    const x = (at) => 24 + (at * (width - 60)) / last;
    const y = (value) => height - 28 - (value / top) * (height - 56);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const add = (tag, attributes, text = "") => {
      const element = document.createElementNS(svg.namespaceURI, tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      element.textContent = text;
      svg.append(element);
    };
    const percent = (value) => (value === null ? DASH : `${Math.round(value * 100)}%`);
    const nameOf = (at) => (at === last ? "output" : step === 1 ? (at ? `layer ${at - 1}` : "embeddings") : at ? `${at - 1}` : "embed.");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Distance from the reference's hidden states after the embeddings and after each layer: ${values.map(percent).join(", ")}`);
    add("line", { x1: 0, x2: width, y1: y(0), y2: y(0), stroke: "var(--line)" });
    const points = values.map((value, at) => (value === null ? "" : `${x(at)},${y(value)}`)).filter(Boolean).join(" ");
    add("polyline", { points, fill: "none", stroke: "var(--student)", "stroke-width": 2.5 });
    values.forEach((value, at) => {
      if (value !== null) add("circle", { cx: x(at), cy: y(value), r: step === 1 ? 4.5 : 3, fill: "var(--student)" });
      if (!labelled(at)) return;
      add("text", { x: x(at), y: y(value ?? 0) - 11, "text-anchor": "middle", class: "value" }, percent(value));
      add("text", { x: x(at), y: height - 8, "text-anchor": at ? "middle" : "start", dx: at ? 0 : -24 }, nameOf(at));
    });
    place.append(svg);
    if (step > 1) place.append(make("p", { class: "quiet" }, `After every ${step === 2 ? "second" : `${step}th`} of ${last} layers.`));
    if (values.includes(null)) place.append(make("p", { class: "note" }, "– From here on the hidden states contain NaN or infinity, so there is no distance."));
  };

  const choose = (change, focus) => {
    Object.assign(chosen, change);
    draw();
    if (focus) document.querySelector(focus)?.focus();
  };
  const target = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);
  const select = byId("layer");
  select.append(...layers.map((layer) => make("option", { value: layer }, layer === data.layer && !data.allLayers ? `${layer} (graded)` : `${layer}`)));
  select.value = String(chosen.layer);
  select.addEventListener("change", () => choose({ layer: Number(select.value) }));
  byId("heads").addEventListener("click", (event) => {
    const button = target(event, "button");
    if (button) choose({ head: Number(button.dataset.head) }, `#heads [data-head="${button.dataset.head}"]`);
  });
  for (const place of document.querySelectorAll(".map")) {
    place.addEventListener("click", (event) => {
      const from = target(event, "[data-query]");
      if (!from) return;
      const key = from.dataset.key;
      choose({ query: Number(from.dataset.query) }, `#${place.id} ${from.tagName}[data-query="${from.dataset.query}"]${key ? `[data-key="${key}"]` : ""}`);
    });
    for (const name of ["mouseover", "focusin"]) place.addEventListener(name, (event) => {
      const cell = target(event, "td[data-key]");
      if (cell) read(Number(cell.dataset.query), Number(cell.dataset.key));
    });
    place.addEventListener("keydown", (event) => {
      const cell = target(event, "td[data-key]");
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!cell) return;
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); cell.click(); }
      if (!step) return;
      event.preventDefault();
      const [query, key] = [Number(cell.dataset.query) + step[0], Number(cell.dataset.key) + step[1]];
      const next = place.querySelector(`td[data-query="${query}"][data-key="${key}"]`);
      if (next) { cell.tabIndex = -1; next.tabIndex = 0; next.focus(); }
    });
  }
  if (tokens.length > MAX_ROWS) document.querySelector(".maps").classList.add("many");
  draw();
  drawDrift();
})();
