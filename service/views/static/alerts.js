"use strict";
// Shows the page Alerts anew when an alert changes; while somebody fills in a form, it only says so.

(() => {
  const main = document.querySelector("main.alerts");
  let last = main.dataset.seq;
  let waits = false;

  function isInUse() {
    const fields = [...document.querySelectorAll(".alerts form[method=post] input")];
    return document.activeElement?.matches("input, select, button, summary")
      || document.querySelector(".alerts details[open]")
      || fields.some((one) => one.value !== one.defaultValue);
  }

  function renew() {
    waits = false;
    const news = document.getElementById("news");
    if (isInUse()) news.hidden = false;
    else if (location.pathname === `${main.dataset.base}/alerts`) location.reload();
    else location.replace(news.querySelector("a").href); // a form was refused: reloading would send it again
  }

  function listen() {
    const source = new EventSource(`${main.dataset.base}/api/v1/events?after=${last}`);
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // it gave up; we do not
    };
    source.addEventListener("alert", (event) => {
      last = event.lastEventId || last;
      if (!waits) setTimeout(renew, Math.max(500, 3000 - performance.now())); // one look for many of a storm
      waits = true;
    });
  }

  listen();
})();
