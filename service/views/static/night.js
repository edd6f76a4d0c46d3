"use strict";
// Shows the night's pictures and numbers anew when they were made again; a film that plays goes on.
// Where the address names no night, the next one of the same camera is shown when it begins.

(() => {
  const main = document.querySelector("main.night");
  let last = main.dataset.seq;
  let waits = false;
  const asked = new URLSearchParams(location.search);
  const isPinned = Boolean(asked.get("night") || asked.get("day"));

  async function fetched(address) {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  }

  let looks = false;

  async function follow() {
    looks = false;
    const film = document.querySelector("video");
    if (film && !film.paused) return;
    asked.set("camera", main.dataset.camera);
    const address = `${location.pathname}?${asked}`;
    try {
      const page = await fetched(address);
      if (page && page.querySelector("main.night").dataset.night !== main.dataset.night) location.replace(address);
    } catch { /* the next event tries again */ }
  }

  async function renew() {
    waits = false;
    try {
      const page = await fetched(location.href);
      if (!page) return;
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
      if (!night) return;
      if (main.dataset.night && String(night.id) !== main.dataset.night) {
        if (!isPinned && !looks) setTimeout(follow, 300);
        looks = !isPinned;
        return;
      }
      if (!main.dataset.night || night.kind === "film") return location.reload();
      if (!waits) setTimeout(renew, 300);
      waits = true;
    });
  }

  listen();
})();
