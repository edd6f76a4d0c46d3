"use strict";
// Shows the changing piece of a page anew when something happens that it tells of.

(() => {
  const main = document.querySelector("main[data-live]");
  const PAUSE_MS = 3000;

  async function show() {
    const piece = document.getElementById("piece");
    if (document.activeElement?.closest("#piece :is(input, select, details[open])")) return later(); // in use
    await Link.replace(location.pathname + location.search, piece, "#piece");
  }

  const later = () => Link.soon("piece", PAUSE_MS, show);

  const every = Number(main.dataset.every || 0);
  if (every) setInterval(later, 1000 * every);
  const acts = Object.fromEntries(main.dataset.live.split(" ").map((type) => [type, later]));
  Link.listen(main.dataset, { ...acts, missed: later });
})();
