"use strict";
(() => {
  const box = document.getElementById("search");
  const items = [...document.querySelectorAll("[data-search]")];
  const apply = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const item of items) {
      item.hidden = !words.every((word) => item.dataset.search.includes(word));
      if (!item.hidden) found += 1;
    }
    for (const family of document.querySelectorAll(".family")) {
      family.hidden = !family.querySelector("[data-search]:not([hidden])");
    }
    document.getElementById("found").textContent = words.length ? `${found} of ${items.length}` : "";
  };
  box.addEventListener("input", apply);
  box.focus();
})();
