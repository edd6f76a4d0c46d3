"use strict";
// Shows the page Alerts anew when an alert changes; while somebody is at a form or a link, it only says so.

(() => {
  const main = document.querySelector("main.alerts");

  function isInUse() {
    const fields = [...document.querySelectorAll(".alerts form[method=post] input")];
    return document.activeElement !== document.body // keys would begin at the top again
      || document.querySelector(".alerts details[open]")
      || fields.some((one) => one.value !== one.defaultValue);
  }

  async function renew() {
    const news = document.getElementById("news");
    const isPlain = location.pathname === `${main.dataset.base}/alerts`;
    const address = isPlain ? location.href : news.querySelector("a").href; // a refused form is not sent again
    await Link.fetched(address); // so that no browser's error takes the page's place
    if (isInUse()) news.hidden = false;
    else if (isPlain) location.reload();
    else location.replace(address);
  }

  const later = () => Link.soon("page", 3000, renew); // one look for many of a storm
  Link.listen(main.dataset, { alert: later, missed: later });
})();
