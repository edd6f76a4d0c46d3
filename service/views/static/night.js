"use strict";
// Shows the night's pictures and numbers anew when they were made again; a film that plays goes on.

(() => {
  const main = document.querySelector("main.night");
  let last = main.dataset.seq;
  let waits = false;

  async function renew() {
    waits = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("#told");
      const told = document.getElementById("told");
      if (!fresh || !told) return location.reload();
      const places = [...told.querySelectorAll(".strip")].map((one) => one.scrollLeft);
      const isOpen = told.querySelector("details")?.open;
      await Promise.all([...fresh.querySelectorAll("img")].map((one) => { // no flash of empty pictures
        const ahead = new Image();
        ahead.src = one.getAttribute("src");
        return ahead.decode().catch(() => {});
      }));
      told.replaceWith(fresh);
      document.querySelector(".clock").replaceWith(page.querySelector(".clock"));
      fresh.querySelectorAll(".strip").forEach((one, i) => { one.scrollLeft = places[i] ?? 0; });
      if (isOpen) fresh.querySelector("details")?.setAttribute("open", "");
    } catch { /* the next event tries again */ }
  }

  function listen() {
    const of = main.dataset.instrument ? `&instrument=${encodeURIComponent(main.dataset.instrument)}` : "";
    const source = new EventSource(`${main.dataset.base}/api/v1/events?after=${last}${of}`);
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // it gave up; we do not
    };
    source.addEventListener("result", (event) => {
      last = event.lastEventId || last;
      const night = JSON.parse(event.data).night;
      if (!night || (main.dataset.night && String(night.id) !== main.dataset.night)) return;
      if (!main.dataset.night || night.kind === "film") return location.reload();
      if (!waits) setTimeout(renew, 300);
      waits = true;
    });
  }

  listen();
})();
