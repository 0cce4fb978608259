/* The chart of a detector's versions. */
(() => {
  "use strict";
  window.draw("history-chart", "history", { history: window.BENCH.history });
})();
