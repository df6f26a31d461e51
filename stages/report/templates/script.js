"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const json = (id) => { const found = byId(id); return found ? JSON.parse(found.textContent) : null; };

  // The theme is the system's until the button is pressed.
  const root = document.documentElement;
  const theme = byId("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const press = () => theme.setAttribute("aria-pressed", String(dark()));
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; press(); });
  system.addEventListener("change", press);
  press();

  // Counts at any threshold.
  const test = json("threshold-data");
  if (test) {
    const slider = byId("threshold");
    const undefinedText = byId("threshold-data").dataset.undefined;
    const at = (name) => document.querySelectorAll(`#results [data-at="${name}"]`);
    const show = (name, text) => at(name).forEach((place) => { place.textContent = text; });
    const share = (part, whole) => (whole === 0 ? undefinedText : (part / whole).toFixed(3));
    // The lowest index whose probability is at or above the threshold; p is sorted.
    const first = (threshold) => {
      let [low, high] = [0, test.p.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (test.p[middle] >= threshold) high = middle; else low = middle + 1;
      }
      return low;
    };
    const above = [0];
    for (let i = test.y.length - 1; i >= 0; i -= 1) above.unshift(above[0] + test.y[i]);
    const count = (threshold, text) => {
      const n = test.p.length;
      const from = first(threshold);
      const tp = above[from];
      const fp = n - from - tp;
      const fn = above[0] - tp;
      const tn = from - fn;
      const values = { tp, fp, tn, fn };
      Object.entries(values).forEach(([name, value]) => show(name, String(value)));
      show("sensitivity", share(tp, tp + fn));
      show("specificity", share(tn, tn + fp));
      // With only one class, figures that compare the classes are meaningless.
      const both = (tp + fn) * (tn + fp) > 0;
      show("ppv", share(tp, both ? tp + fp : 0));
      show("npv", share(tn, both ? tn + fn : 0));
      show("f1", share(2 * tp, both ? 2 * tp + fp + fn : 0));
      show("accuracy", share(tp + tn, n));
      show("balanced", share(tp * (tn + fp) + tn * (tp + fn), both ? 2 * (tp + fn) * (tn + fp) : 0));
      show("mcc", share(tp * tn - fp * fn, Math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))));
      show("lr_positive", share(tp * (tn + fp), both ? fp * (tp + fn) : 0));
      show("lr_negative", share(fn * (tn + fp), both ? tn * (tp + fn) : 0));
      show("threshold", text);
    };
    const moved = () => {
      const value = Number(slider.value);
      // At its right end the slider stands above every probability.
      count(value >= 1 ? Infinity : value, value.toFixed(3));
    };
    const reset = () => { slider.value = test.threshold; count(test.threshold, test.threshold.toFixed(3)); };
    slider.addEventListener("input", moved);
    byId("threshold-reset").addEventListener("click", reset);
    byId("slider").hidden = false;
    reset();
  }

  // A region that does not scroll needs no tab stop.
  const regions = document.querySelectorAll(".scroll");
  const stops = () => regions.forEach((region) => {
    if (region.scrollWidth > region.clientWidth) region.tabIndex = 0; else region.removeAttribute("tabindex");
  });
  window.addEventListener("resize", stops);
  document.addEventListener("toggle", stops, true);
  stops();

  // The table of all series, searched and sorted, one page at a time.
  const series = json("series-data");
  if (series) {
    const PAGE = 25;
    const table = byId("series");
    const search = byId("series-search");
    const [count, rowsShown] = [byId("series-count"), byId("series-rows")];
    const [back, on] = [byId("series-back"), byId("series-on")];
    const text = (value) => (value === null ? "" : String(value));
    const all = series.rows.map((cells) => ({ cells, text: cells.map(text).join("\u0000").toLowerCase() }));
    let [shown, page, sorted] = [all, 0, null];
    const element = (name, content) => { const made = document.createElement(name); made.textContent = content; return made; };
    const draw = () => {
      const rows = shown.slice(page * PAGE, (page + 1) * PAGE).map(({ cells }) => {
        const row = document.createElement("tr");
        cells.forEach((value, column) => {
          const cell = element(column === 0 ? "th" : "td", text(value));
          if (column === 0) { cell.scope = "row"; cell.className = "uid"; }
          if (series.columns[column].number) cell.className = "n";
          row.append(cell);
        });
        return row;
      });
      table.tBodies[0].replaceChildren(...rows);
      const from = shown.length === 0 ? 0 : page * PAGE + 1;
      const values = { from, to: Math.min(shown.length, (page + 1) * PAGE), n: shown.length, m: all.length };
      [count, rowsShown].forEach((place) => {
        place.textContent = place.dataset.text.replace(/\[(\w+)\]/g, (_, name) => values[name]);
      });
      back.disabled = page === 0;
      on.disabled = (page + 1) * PAGE >= shown.length;
    };
    const order = (a, b, column, sign) => {
      const [x, y] = [a.cells[column], b.cells[column]];
      // Unknown values come last in either order.
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    };
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      shown = all.filter((row) => words.every((word) => row.text.includes(word)));
      if (sorted) shown.sort((a, b) => order(a, b, sorted.column, sorted.sign));
      page = 0;
      draw();
    };
    const head = document.createElement("tr");
    series.columns.forEach((column, index) => {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.setAttribute("aria-sort", "none");
      if (column.number) cell.className = "n";
      const button = element("button", column.name);
      button.type = "button";
      button.addEventListener("click", () => {
        const sign = sorted && sorted.column === index ? -sorted.sign : 1;
        sorted = { column: index, sign };
        head.querySelectorAll("th").forEach((other) => other.setAttribute("aria-sort", "none"));
        cell.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        apply();
      });
      cell.append(button);
      head.append(cell);
    });
    table.tHead.append(head);
    search.addEventListener("input", apply);
    back.addEventListener("click", () => { page -= 1; draw(); });
    on.addEventListener("click", () => { page += 1; draw(); });
    byId("series-tools").hidden = false;
    draw();
  }

  // One map of a case at a time.
  document.querySelectorAll("figure.case").forEach((figure) => {
    const maps = figure.querySelectorAll(".map");
    const choice = figure.querySelector("select");
    const show = () => maps.forEach((map, index) => { map.hidden = index !== Number(choice.value); });
    choice.addEventListener("change", show);
    figure.querySelector(".choice").hidden = false;
    figure.classList.add("chosen");
    show();
  });

  // Everything is unfolded for printing.
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
  });
})();
