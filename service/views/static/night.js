"use strict";
// Shows the night's pictures and numbers anew when they were made again; a film that plays goes on.
// Where the address names no night, the next one of the same camera is shown when it begins.

(() => {
  const main = document.querySelector("main.night");
  const asked = new URLSearchParams(location.search);
  const isPinned = Boolean(asked.get("night") || asked.get("day"));

  async function follow() {
    const film = document.querySelector("video");
    if (film && !film.paused) return;
    asked.set("camera", main.dataset.camera);
    const address = `${location.pathname}?${asked}`;
    const page = await Link.fetched(address);
    if (page && page.querySelector("main.night").dataset.night !== main.dataset.night) location.replace(address);
  }

  async function renew() {
    const page = await Link.fetched(location.href);
    if (!page) return;
    const fresh = page.querySelector("#told");
    const told = document.getElementById("told");
    if (!fresh || !told) return location.reload();
    await Promise.all([...fresh.querySelectorAll("img")].map((one) => { // no flash of empty pictures
      const ahead = new Image();
      ahead.src = one.getAttribute("src");
      return ahead.decode().catch(() => {});
    }));
    const goOn = Link.keep(told);
    told.replaceWith(fresh);
    goOn(fresh);
  }

  async function reload() {
    if (await Link.fetched(location.href)) location.reload(); // so that no browser's error takes the page's place
  }

  const PAUSE_MS = 1000;

  function onResult({ night }) {
    if (!night) return;
    if (main.dataset.night && String(night.id) !== main.dataset.night) {
      if (!isPinned) Link.soon("next", PAUSE_MS, follow);
    } else if (!main.dataset.night || night.kind === "film") Link.soon("page", PAUSE_MS, reload);
    else Link.soon("told", PAUSE_MS, renew);
  }

  Link.listen(main.dataset, { result: onResult, missed: () => Link.soon("told", PAUSE_MS, renew) });
})();
