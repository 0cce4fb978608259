/* Draws one of the charts with data: specifications are interpreted, so that no code is made from text. */
(() => {
  "use strict";

  /* titles: new words for the titles of axes; signals: where they start; square: as high as it is wide, if there is room. */
  window.draw = async (id, chart, data, { titles = {}, signals = {}, square = false } = {}) => {
    const spec = structuredClone(window.BENCH.specs[chart]);
    if (square) spec.height = Math.min(spec.height, Math.max(document.getElementById(id).clientWidth - 60, 240));
    for (const axis of spec.axes ?? []) axis.title = titles[axis.title] ?? axis.title;
    for (const signal of spec.signals ?? []) if (signal.name in signals) signal.value = signals[signal.name];
    for (const source of spec.data) if (data[source.name]) source.values = data[source.name];
    const options = {
      mode: "vega", ast: true, actions: false, renderer: "svg", defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
      loader: { http: { credentials: "omit" }, load: () => Promise.reject(new Error("nothing is loaded")) },
    };
    return (await window.vegaEmbed(`#${id}`, spec, options)).view;
  };
})();
