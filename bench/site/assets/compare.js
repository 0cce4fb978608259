/* Compares two detectors: loads the tests of a task and the places that two detectors give its images. */
(() => {
  "use strict";
  const SHOWN = 25, ALPHA = 0.05;
  const index = window.BENCH.index, form = document.getElementById("choose");
  const { task, a, b } = form.elements;
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
  const place = (value) => (value / 10000).toFixed(3);
  let asked = 0;
  if (!index.length) return;

  const load = (path, key) => key in window.BENCH ? Promise.resolve() : new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = path;
    script.addEventListener("load", done);
    script.addEventListener("error", () => fail(new Error(`${path} is missing`)));
    document.head.append(script);
  });
  const fill = (select, options) => select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  // A row of another task or of an older version has another slug: its detector's name leads to the row that is here.
  const named = (slug) => index.flatMap((one) => one.rows).find((row) => row[0] === slug)?.[1]
    ?? slug.replace(/-v\d[\d-]*-[0-9a-f]{8}$/, "");
  const nearest = (rows, slug, taken) => {
    const free = rows.filter((row) => row[0] !== taken);
    const found = rows.find((row) => row[0] === slug) ?? free.find((row) => slug && row[1] === named(slug)) ?? free[0];
    return found[0];
  };
  const line = (texts, numeric = []) => {
    const row = document.createElement("tr");
    texts.forEach((text, at) => {
      const cell = document.createElement(at === 0 ? "th" : "td");
      if (at === 0) cell.scope = "row";
      if (numeric.includes(at)) cell.className = "n";
      const name = document.createElement("bdi");
      name.textContent = text;
      cell.append(name);
      row.append(cell);
    });
    return row;
  };

  function find(pairs, first, second) {
    for (const [one, other, value, low, high, p, smallest] of pairs) {
      if (one === first && other === second) return { value, low, high, p, smallest };
      if (one === second && other === first) return { value: -value, low: -high, high: -low, p, smallest };
    }
    return null;
  }
  function tell(name, one) {
    if (!one) return line([name, "too few images, or no seed in common", "–", "–"], [1, 2, 3]);
    const difference = `${signed(one.value)} [${signed(one.low)}, ${signed(one.high)}]`;
    return line([name, difference, one.p < 0.001 ? "<0.001" : one.p.toFixed(3), one.smallest.toFixed(3)], [1, 2, 3]);
  }
  function verdict(one, names) {
    if (!one) return `${names[0]} and ${names[1]} have no seed in common, so they are not compared.`;
    const apart = `The difference of AUROC is ${signed(one.value)} [${signed(one.low)}, ${signed(one.high)}].`;
    if (one.p < ALPHA) return `${names[one.value > 0 ? 0 : 1]} is better than ${names[one.value > 0 ? 1 : 0]}. ${apart}`;
    return `${names[0]} and ${names[1]} are not told apart. ${apart} A difference of ${one.smallest.toFixed(3)} would be found with 80 % power.`;
  }

  function thumb({ path, side, columns }, at) {
    const picture = document.createElement("span");
    picture.className = "thumb";
    picture.style.backgroundImage = `url("${path}")`;
    picture.style.backgroundPosition = `${-side * (at % columns)}px ${-side * Math.floor(at / columns)}px`;
    return picture;
  }
  function disagreements(data, first, second) {
    const gaps = first.map((value, at) => [Math.abs(value - second[at]), at]);
    gaps.sort((x, y) => y[0] - x[0] || x[1] - y[1]);
    return gaps.slice(0, SHOWN).map(([, at]) => {
      const higher = first[at] === second[at] ? "–" : (first[at] > second[at]) === (data.labels[at] === 1) ? "first" : "second";
      const row = line([data.ids[at], data.kinds[data.categories[at]], place(first[at]), place(second[at]), higher], [2, 3]);
      if (data.thumbs) row.firstChild.prepend(thumb(data.thumbs, at));
      return row;
    });
  }

  async function show() {
    const ticket = ++asked, chosen = { task: task.value, a: a.value, b: b.value };
    history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
    const keys = [a, b].map((select) => `${chosen.task}/${select.value}`);
    await load(`data/pairs/${chosen.task}.js`, chosen.task);
    await Promise.all([...new Set(keys)].map((key) => load(`data/scores/${key}.js`, key)));
    if (ticket !== asked) return;
    const data = window.BENCH[chosen.task], [first, second] = keys.map((key) => window.BENCH[key]);
    const at = [a, b].map((select) => data.rows.findIndex((row) => row[0] === select.value));
    const names = at.map((one) => data.rows[one][1]);
    const same = at[0] === at[1], whole = same ? null : find(data.pairs, ...at);
    document.getElementById("verdict").textContent = same ? "Choose two different detectors." : verdict(whole, names);
    const parts = Object.entries(data.parts).map(([name, pairs]) => tell(name, find(pairs, ...at)));
    document.querySelector("#parts tbody").replaceChildren(...(same ? [] : [tell("all", whole), ...parts]));
    document.querySelector("#images tbody").replaceChildren(...(same ? [] : disagreements(data, first, second)));
    document.getElementById("result").hidden = false;
    document.getElementById("message").hidden = true;
    await window.draw("scatter-chart", "scatter", {
      images: data.ids.map((id, one) => ({
        id, category: data.kinds[data.categories[one]], kind: data.labels[one] ? "diseased" : "healthy",
        a: first[one] / 10000, b: second[one] / 10000,
      })).sort((x, y) => (x.kind === y.kind ? 0 : x.kind === "healthy" ? -1 : 1)),
    }, { titles: { first: `place by ${names[0]}`, second: `place by ${names[1]}` }, square: true });
  }

  function choose(wanted) {
    const { slug, rows } = index.find((one) => one.slug === wanted.get("task")) ?? index[0];
    fill(task, index.map((one) => [one.slug, one.title]));
    for (const select of [a, b]) fill(select, rows);
    task.value = slug;
    a.value = nearest(rows, wanted.get("a"));
    b.value = nearest(rows, wanted.get("b"), a.value);
    return show();
  }
  const fail = (error) => {
    document.getElementById("message").textContent = error.message;
    document.getElementById("message").hidden = false;
  };
  const now = () => new URLSearchParams(location.hash.slice(1));

  task.addEventListener("change", () => choose(new URLSearchParams({ task: task.value, a: a.value, b: b.value })).catch(fail));
  for (const select of [a, b]) select.addEventListener("change", () => show().catch(fail));
  document.getElementById("swap").addEventListener("click", () => {
    [a.value, b.value] = [b.value, a.value];
    show().catch(fail);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", () => choose(now()).catch(fail));
  choose(now()).catch(fail);
})();
