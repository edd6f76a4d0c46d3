"use strict";
// Shows the changing piece of a page anew when something happens that it tells of.

(() => {
  const main = document.querySelector("main[data-live]");
  const { base, live, instrument } = main.dataset;
  const PAUSE_MS = 3000;
  let last = main.dataset.seq;
  let timer = 0;
  let shownAt = performance.now();

  function show() {
    timer = 0;
    if (document.activeElement?.closest("#piece :is(input, select, details[open])")) return later(); // in use
    shownAt = performance.now();
    const open = [...document.querySelectorAll("#piece details")].map((one) => one.open);
    const how = { target: "#piece", select: "#piece", swap: "outerHTML" };
    htmx.ajax("GET", location.pathname + location.search, how).then(() => {
      document.querySelectorAll("#piece details").forEach((one, place) => { one.open = open[place] ?? one.open; });
      const newest = document.querySelector("#piece [data-now]");
      if (newest) document.querySelector(".clock").firstChild.data = newest.dataset.now;
    });
  }

  function later() {
    if (!timer) timer = setTimeout(show, Math.max(300, shownAt + PAUSE_MS - performance.now()));
  }

  function state(name, word) {
    document.getElementById("live").dataset.state = name;
    document.getElementById("live-word").textContent = word;
  }

  let source = null;

  function listen() {
    const only = instrument ? `&instrument=${encodeURIComponent(instrument)}` : "";
    source = new EventSource(`${base}/api/v1/events?after=${last}${only}`);
    source.onopen = () => state("live", "live");
    source.onerror = () => {
      state("lost", "reconnecting");
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // it gave up; we do not
    };
    for (const type of live.split(" ")) {
      source.addEventListener(type, (event) => {
        last = event.lastEventId || last;
        later();
      });
    }
  }

  addEventListener("pagehide", () => source && source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  const every = Number(main.dataset.every || 0);
  if (every) setInterval(later, 1000 * every);
  listen();
})();
