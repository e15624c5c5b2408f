// Search and sort the table of the gradebook. Without this script the page shows everything, in its first order.
"use strict";
(() => {
  const table = document.getElementById("submissions");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  const order = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  // Numbers are in data-value; the collator would put 8.15 after 8.2.
  const compare = (one, other) => {
    if ("value" in one.dataset) return Number(one.dataset.value) - Number(other.dataset.value);
    return order.compare(one.textContent.trim(), other.textContent.trim());
  };

  const sort = (header, column) => {
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const sorted = [...rows].sort((one, other) => compare(one.cells[column], other.cells[column]));
    body.append(...(descending ? sorted.reverse() : sorted));
  };

  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sort(header, column));
    header.replaceChildren(button);
  });

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = `${row.textContent} ${row.cells[0].title}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = words.length ? `${count} of ${rows.length} shown` : "";
  };

  document.getElementById("tools").hidden = false;
  search.addEventListener("input", filter);

  // A link to a mistake opens its explanation.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  window.addEventListener("hashchange", open);
  open();
})();
