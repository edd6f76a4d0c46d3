"use strict";
// What all live pages share: the stream of events and its sign in the corner, the server's time, trying again.

const Link = (() => {
  const TYPES = ["frame", "result", "alert", "coverage", "status"];
  const SILENCE_MS = 40000; // the server is never silent for longer than 15 s
  const REST_MS = 5000;
  const PATIENCE_MS = 20000;
  const LONGEST_REST_MS = 10000;

  /** The server could not be asked, or could not answer now: it is worth trying again. */
  class Lost extends Error {}

  // ---- time: by the server's clock, for the viewer's may be wrong ----

  const clock = document.querySelector(".clock");
  let aheadMs = 0;

  function setClock(told) {
    aheadMs = Date.parse(told) - Date.now();
  }

  const now = () => new Date(Date.now() + aheadMs);

  function age(s) {
    if (s >= 63115200) return `${Math.floor(s / 31557600)} y`;
    if (s >= 172800) return `${Math.floor(s / 86400)} d`;
    if (s >= 7200) return `${Math.floor(s / 3600)} h`;
    if (s >= 120) return `${Math.floor(s / 60)} min`;
    return `${Math.max(0, Math.floor(s))} s`;
  }

  function tick() {
    clock.firstChild.data = now().toISOString().slice(11, 19);
    for (const time of document.querySelectorAll("time[data-age]")) {
      time.textContent = age((now() - Date.parse(time.dateTime)) / 1000);
    }
  }

  // ---- doing things soon, not too often, and again where they fail ----

  const timers = new Map();
  const timerOf = (key) => timers.get(key) || timers.set(key, { last: 0, id: 0, failures: 0 }).get(key);

  /** Run `work` now, and at most once in `pauseMs` for the same `key`; what is lost is tried again until it is done. */
  function soon(key, pauseMs, work) {
    const timer = timerOf(key);
    if (timer.id) return;
    const restMs = timer.failures ? Math.min(LONGEST_REST_MS, 1000 * 2 ** timer.failures) : 0;
    timer.id = setTimeout(async () => {
      timer.id = 0;
      timer.last = performance.now();
      try {
        await work();
        timer.failures = 0;
      } catch (error) {
        if (!(error instanceof Lost)) throw error;
        timer.failures += 1;
        soon(key, pauseMs, work);
      }
    }, Math.max(0, timer.last + Math.max(pauseMs, restMs) - performance.now()));
  }

  /** Milliseconds since something was last done. */
  const since = (key) => performance.now() - timerOf(key).last;

  const isPassing = (status) => status >= 500 || status === 429 || status === 408;

  // ---- pieces of a page ----

  const REACHED = "a[href], button, input, select, summary, [tabindex]";
  const nameOf = (one) => one.getAttribute("aria-label") || one.textContent.trim();

  /** Note what has the focus in a piece, what is open, what is scrolled; the answer does the same to the next piece. */
  function keep(piece) {
    const reached = [...piece.querySelectorAll(REACHED)];
    const place = reached.indexOf(document.activeElement);
    const name = place < 0 ? "" : nameOf(reached[place]);
    const open = [...piece.querySelectorAll("details")].map((one) => one.open);
    const scrolled = [...piece.querySelectorAll(".wide, .strip")].map((one) => one.scrollLeft);
    return (next) => {
      const folds = next.querySelectorAll("details");
      if (folds.length === open.length) folds.forEach((one, i) => { one.open = open[i]; });
      next.querySelectorAll(".wide, .strip").forEach((one, i) => { one.scrollLeft = scrolled[i] ?? 0; });
      if (place < 0 || document.activeElement !== document.body) return; // else keys would begin at the page's top again
      const there = [...next.querySelectorAll(REACHED)];
      const same = name && there.find((one) => nameOf(one) === name);
      (same || there[place])?.focus({ preventScroll: true });
    };
  }

  let goOn = null;
  document.addEventListener("htmx:beforeSwap", (event) => { goOn = keep(event.detail.target); });
  document.addEventListener("htmx:afterSwap", (event) => goOn(event.target));

  /** Put a piece of a page, fetched anew, into the place of `target`. Throws `Lost`. */
  async function replace(address, target, select) {
    let refusal = 0;
    target.addEventListener("htmx:responseError", (event) => { refusal = event.detail.xhr.status; }, { once: true });
    try {
      // A source of its own: htmx keeps but one waiting request for each source.
      await htmx.ajax("GET", address, { source: target, target, swap: "outerHTML", ...(select ? { select } : {}) });
    } catch {
      throw new Lost(address);
    }
    if (isPassing(refusal)) throw new Lost(address);
    tick();
  }

  /** A page, fetched; null where it is refused. Throws `Lost`. */
  async function fetched(address) {
    try {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      const answer = await fetch(address, { headers: { Accept: "text/html" }, signal });
      if (answer.ok) return new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!isPassing(answer.status)) return null;
    } catch { /* said below */ }
    throw new Lost(address);
  }

  // ---- the stream ----

  function state(name, word) {
    const sign = document.getElementById("live");
    if (sign.dataset.state === name) return;
    sign.dataset.state = name;
    document.getElementById("live-word").textContent = word;
  }

  /**
   * Listen to what happens after event `seq`.
   *
   * `acts` says by type what is done with what is told; `missed` what is done when something was not kept for us.
   */
  function listen({ base, seq, instrument }, acts) {
    let last = seq;
    let source = null;
    let watch = 0;
    let heardAt = now();

    function heard() {
      heardAt = now();
      state("live", "live");
      clearTimeout(watch);
      watch = setTimeout(silent, SILENCE_MS);
    }

    function lost() {
      state("lost", `no news since ${heardAt.toISOString().slice(11, 16)}`);
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
      clearTimeout(watch);
      watch = setTimeout(open, REST_MS); // it gave up; we do not
    }

    function silent() { // a connection may die without a word
      source.close();
      lost();
    }

    function open() {
      const only = instrument ? `&instrument=${encodeURIComponent(instrument)}` : "";
      source = new EventSource(`${base}/api/v1/events?pulse=true&after=${last}${only}`);
      watch = setTimeout(silent, SILENCE_MS);
      source.onopen = heard;
      source.onerror = lost;
      for (const type of TYPES) {
        source.addEventListener(type, (event) => {
          heard();
          last = event.lastEventId || last;
          const told = JSON.parse(event.data);
          if (told.now) setClock(told.now);
          if (told.missed) acts.missed();
          acts[type]?.(told);
        });
      }
    }

    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    open();
  }

  setClock(clock.dateTime);
  clock.title = "The server's time";
  tick();
  setInterval(tick, 1000);
  if (window.htmx) htmx.config.timeout = PATIENCE_MS;

  return { fetched, keep, listen, now, replace, since, soon, tick };
})();
