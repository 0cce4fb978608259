/* Tables that sort, and the filters of the start page. Pages say the same without it. */
(() => {
  "use strict";

  const key = (cell) => {
    const text = cell ? cell.dataset.v ?? cell.textContent.trim().replace("−", "-").replace(/,(?=\d{3})/g, "") : "";
    const number = Number.parseFloat(text.replace(/^</, ""));
    return Number.isNaN(number) ? text.toLowerCase() : number;
  };
  const order = (a, b) =>
    typeof a === typeof b ? (typeof a === "number" ? a - b : a.localeCompare(b)) : typeof a === "number" ? -1 : 1;

  function sort(table, header) {
    const rising = header.getAttribute("aria-sort") !== "ascending";
    for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const column = header.cellIndex, body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
    rows.sort((a, b) => (rising ? 1 : -1) * order(a[0], b[0]));
    body.append(...rows.map((pair) => pair[1]));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const header of table.tHead.querySelectorAll("th")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(table, header));
      header.append(button);
    }
  }

  const form = document.getElementById("filter");
  if (!form) return;

  const values = () => Object.fromEntries([...new FormData(form)].filter((pair) => pair[1] !== ""));

  function fits(row, wanted) {
    const verified = row.dataset.b !== undefined, cost = row.cells[7].dataset.v;
    return (!wanted.q || row.cells[1].textContent.toLowerCase().includes(wanted.q.toLowerCase()))
      && (!wanted.weights || (row.dataset.p !== undefined) === (wanted.weights === "1"))
      && (!wanted.verified || verified === (wanted.verified === "yes"))
      && (!wanted.cost || (cost !== undefined && Number(cost) <= Number(wanted.cost)));
  }

  function apply() {
    const wanted = values();
    let count = 0;
    for (const edition of document.querySelectorAll(".edition")) {
      const here = (!wanted.modality || edition.dataset.modality === wanted.modality)
        && (!wanted.edition || edition.id === wanted.edition);
      let left = 0;
      for (const row of edition.querySelectorAll(".rank tbody tr")) {
        row.hidden = !(here && fits(row, wanted));
        left += row.hidden ? 0 : 1;
      }
      const narrowed = wanted.q || wanted.weights || wanted.verified || wanted.cost;
      edition.hidden = !here || (left === 0 && Boolean(narrowed));
      count += left;
    }
    for (const part of document.querySelectorAll(".part")) {
      let next = part.nextElementSibling, seen = false;
      for (; next && next.matches(".edition"); next = next.nextElementSibling) seen ||= !next.hidden;
      part.hidden = !seen;
    }
    document.getElementById("none").hidden = [...document.querySelectorAll(".edition")].some((one) => !one.hidden);
    document.getElementById("count").value = `${count} rows shown`;
    return wanted;
  }

  function changed() {
    const wanted = new URLSearchParams(apply()).toString();
    if (wanted || location.hash.includes("=")) history.replaceState(null, "", `#${wanted || "rankings"}`);
  }

  function restore() {
    if (!location.hash.includes("=")) return;
    form.reset();
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      if (form.elements[name]) form.elements[name].value = value;
    }
    apply();
  }

  form.addEventListener("input", changed);
  form.addEventListener("reset", () => setTimeout(changed));
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", restore);
  restore();
})();
