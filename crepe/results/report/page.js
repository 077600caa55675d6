"use strict";
// No "less than" and no ampersand in here: the page is XML, too.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const tables = all("table.grid");

// --- Sorting: a click on a column's name, and again for the other direction; on "Model" for the paper's order

function figure(row, column, by) {
  const data = row.cells[column].dataset;
  return Number(by === "ours" ? data.ours ?? data.paper ?? NaN : data[by] ?? NaN);
}

function sort(table) {
  const heads = all("thead th", table);
  const column = Math.max(0, heads.findIndex(head => head.getAttribute("aria-sort") !== "none"));
  const sign = heads[column].getAttribute("aria-sort") === "descending" ? -1 : 1;
  const by = document.querySelector("#sort-by").value;
  const value = row => column === 0 ? Number(row.dataset.order) : figure(row, column, by);
  const rows = [...table.tBodies[0].rows].map(row => ({row, value: value(row), order: Number(row.dataset.order)}));
  rows.sort((a, b) => {
    if (isNaN(a.value) || isNaN(b.value)) return isNaN(a.value) - isNaN(b.value) || a.order - b.order;
    return sign * (a.value - b.value) || a.order - b.order;
  });
  table.tBodies[0].append(...rows.map(({row}) => row));
}

for (const button of all("table.grid thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const next = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", other === head ? next : "none");
    sort(head.closest("table"));
  });
}
document.querySelector("#sort-by").addEventListener("change", () => tables.forEach(sort));

// --- Filters: nothing chosen shows everything

function filter() {
  const chosen = name => all(`input[name=${name}]:checked`).map(box => box.value);
  const families = chosen("family"), datasets = chosen("dataset"), ran = chosen("ran").length > 0;
  const shown = {rows: 0, columns: 0};
  for (const table of tables) {
    const rows = [...table.tBodies[0].rows];
    const visible = all("thead th", table).map((head, column) => column === 0 ? true :
      (datasets.length === 0 || datasets.includes(head.dataset.dataset))
      * (!ran || rows.some(row => row.cells[column].matches(".ran"))));
    for (const row of table.rows) [...row.cells].forEach((cell, column) => { cell.hidden = !visible[column]; });
    for (const row of rows) {
      const any = [...row.cells].some(cell => cell.matches(".ran:not([hidden])"));
      row.hidden = families.length === 0 ? false : !families.includes(row.dataset.family);
      if (ran) row.hidden ||= !any;
    }
    const columns = visible.filter(Boolean).length - 1;
    const lines = rows.filter(row => !row.hidden).length;
    table.closest("section").hidden = columns === 0 || lines === 0;
    if (columns) shown.rows += lines;
    if (lines) shown.columns += columns;
  }
  document.querySelector("#shown").value = families.length + datasets.length + ran === 0 ? "" :
    `Lines shown: ${shown.rows}; columns: ${shown.columns}.`;
}
document.querySelector("#filters").addEventListener("change", filter);
document.querySelector("#filters").addEventListener("reset", () => setTimeout(() => { filter(); tables.forEach(sort); }));

// --- Runs: a cell's button opens them; the address then leads there

function show(id) {
  const dialog = document.getElementById(id);
  if (!dialog?.matches("dialog:not([open])")) return;
  all("dialog[open]").forEach(other => other.close());
  dialog.showModal();
  dialog.scrollTop = 0;
  history.replaceState(null, "", `#${id}`);
}

document.addEventListener("click", event => {
  const opener = event.target.closest("[data-opens]");
  if (opener) show(opener.dataset.opens);
  // What is beside the panel in a dialog is the page behind it.
  else if (event.target.matches("dialog, [data-closes]")) event.target.closest("dialog").close();
});
document.addEventListener("close", () => {
  if (!document.querySelector("dialog[open]")) history.replaceState(null, "", location.pathname + location.search);
}, true);
addEventListener("hashchange", () => show(location.hash.slice(1)));
show(location.hash.slice(1));
