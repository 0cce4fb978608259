/* The charts of a task's page. */
(async () => {
  "use strict";
  const { task } = window.BENCH, rows = task.rows;
  if (!rows.length || !document.getElementById("roc-chart")) return;
  const pairs = window.BENCH[document.querySelector("section#ranking").dataset.edition];
  const number = (value) => value.toFixed(3);
  const label = (row) => ({ row: row.row, name: row.name, tone: row.tone, dash: row.dash });

  const picker = document.getElementById("pick"), legend = document.getElementById("legend");
  const readout = document.getElementById("readout");
  const shown = () => [...legend.querySelectorAll("input:checked")].map((box) => box.value);
  const tprAt = (row, fpr) => {
    let last = 0;
    while (last + 1 < row.fpr.length && row.fpr[last + 1] <= fpr) last += 1;
    return row.tpr[last];
  };

  const roc = await window.draw("roc-chart", "roc", {
    curves: rows.flatMap((row) => row.fpr.map((x, at) => ({ ...label(row), x, y: row.tpr[at] }))),
    bands: rows.flatMap((row) => row.low.map((low, at) => ({ ...label(row), x: at / 100, low, high: row.high[at] }))),
    points: rows.flatMap((row) => row.points.map(([promise, x, y]) => ({ ...label(row), promise: `${promise} %`, x, y }))),
  }, { signals: { shown: shown() }, square: true });

  function bring(slug, fpr) {
    const row = rows.find((one) => one.row === slug);
    roc.signal("pick", row ? slug : "").runAsync();
    if (!row) {
      readout.textContent = "Point at a curve, or choose one above.";
      return;
    }
    const [value, low, high] = row.auroc;
    const at = fpr === undefined ? 0.05 : fpr, band = Math.round(at * 100);
    readout.textContent = `${row.name}: AUROC ${number(value)} [${number(low)}, ${number(high)}]; at a false-positive rate `
      + `of ${number(at)} it finds ${number(tprAt(row, at))} [${number(row.low[band])}, ${number(row.high[band])}].`;
  }

  const point = (event, item) => {
    const slug = item && item.datum && item.datum.row;
    if (!slug) return;
    const left = roc.container().querySelector("svg").getBoundingClientRect().left;
    const fpr = roc.scale("x").invert(event.clientX - left - roc.origin()[0]);
    bring(slug, Math.min(Math.max(fpr, 0), 1));
  };
  roc.addEventListener("pointermove", point);
  roc.addEventListener("click", point); // a finger does not hover, and what it has chosen stays
  roc.container().addEventListener("pointerleave", (event) => event.pointerType === "mouse" && bring(picker.value));
  picker.addEventListener("change", () => bring(picker.value));
  legend.addEventListener("change", () => roc.signal("shown", shown()).runAsync());
  for (const button of document.querySelectorAll("[data-reach]")) {
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll("[data-reach]")) other.setAttribute("aria-pressed", other === button);
      roc.signal("reach", Number(button.dataset.reach)).runAsync();
    });
  }

  const spread = document.getElementById("spread");
  const bars = (slug) => rows.find((one) => one.row === slug).bars.flatMap(([name, shares]) =>
    shares.map((share, at) => ({ class: name, x: task.bins[at], share })));
  const draw = () => window.draw("bars-chart", "bars", { bars: bars(spread.value) });
  spread.addEventListener("change", draw);
  await draw();

  if (!document.getElementById("matrix-chart")) return;
  const signed = (value, digits = 3) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
  const cell = (first, second, value, low, high, p) => ({
    first: pairs.rows[first][1], second: pairs.rows[second][1], row: first, column: second,
    verdict: p >= 0.05 || value === 0 ? "open" : value > 0 ? "better" : "worse",
    text: `${pairs.rows[first][1]} − ${pairs.rows[second][1]}`,
    brief: signed(value, 2).replace("0.", "."),
    difference: `${signed(value)} [${signed(low)}, ${signed(high)}]`, p: p < 0.001 ? "<0.001" : p.toFixed(3),
  });
  await window.draw("matrix-chart", "matrix", {
    pairs: pairs.pairs.flatMap(([a, b, value, low, high, p]) =>
      [cell(a, b, value, low, high, p), cell(b, a, -value, -high, -low, p)]),
  });
})();
