"use strict";
// The live half of the page Now. Everything it shows is also in the page as it was served.

(() => {
  const $ = (id) => document.getElementById(id);
  const seconds = (iso) => Date.parse(iso) / 1000;
  let page = null; // what the served page says of itself
  let points = { t: [], score: [], bad: [], id: [] };
  let plot = null;
  let chosen = null; // id of the frame in the panel
  let newest = null; // id of the one that it is to show next: a piece that settles meanwhile sets `chosen` back

  // ---- pieces of the page, fetched again ----

  const { soon } = Link;
  const running = new Map();

  /** Fetch a piece anew; requests for one piece wait for each other, those for others run beside it. */
  function replace(path, id, select) {
    const mine = (running.get(id) || Promise.resolve()).then(() => {
      const target = $(id); // only now: what was asked before has replaced it
      return target ? Link.replace(page.base + path, target, select) : undefined;
    });
    running.set(id, mine.catch(() => undefined));
    return mine;
  }

  const here = () => location.pathname.slice(page.base.length) + location.search;
  const wholePage = () => soon("page", 1500, () => replace(here(), "now", "#now").then(begin));
  const firing = () => soon("firing", 1000, () => replace("/now/firing", "firing"));
  const refusals = () => soon("refusals", 1000, () => replace("/now/refusals", "refusals"));
  const listed = () => $("listed") && soon("listed", 4000, () => $("listed") && replace(here(), "listed", "#listed"));

  function tile(instrument) {
    const target = [...document.querySelectorAll(".tile")].find((one) => one.dataset.instrument === instrument);
    if (!target) return wholePage();
    soon(`tile ${instrument}`, 600, () =>
      replace(`/now/tile?instrument=${encodeURIComponent(instrument)}`, target.id).then(markCurrent));
  }

  function markCurrent() {
    for (const one of document.querySelectorAll(".tile")) {
      one.classList.toggle("current", one.dataset.instrument === page.instrument);
    }
  }

  const QUIET_MS = 15000;

  /** What time alone changes, no event tells: a camera falls silent, dawn ends its rest, a frame waits, a silence ends. */
  function lookAgain() {
    if (document.hidden || $("live").dataset.state !== "live") return;
    for (const one of document.querySelectorAll(".tile[data-instrument]")) {
      if (Link.since(`tile ${one.dataset.instrument}`) >= QUIET_MS) tile(one.dataset.instrument);
    }
    firing();
  }

  const composite = () => soon("composite", 1000, () => ($("composite") ? replace("/now/composite", "composite") : wholePage()));
  const areas = () => $("areas") && soon("areas", 4000, () => $("areas") && replace(here(), "areas", "#areas"));

  function panel(id, isPinned) {
    return replace(`/now/frame/${id}?pinned=${isPinned ? 1 : 0}${Panel.outlines()}`, "frame");
  }

  function select(id) {
    page.pinned = "frame";
    chosen = id;
    history.replaceState(null, "", `${page.base}/?frame=${id}${Panel.outlines()}`);
    sayChosen();
    if (plot) plot.redraw(false);
    soon("panel", 80, () => panel(chosen, true));
  }

  // ---- the timeline ----

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function drawPoints(u) {
    const ctx = u.ctx;
    const scale = devicePixelRatio;
    const good = colour("--good");
    const bad = colour("--bad");
    const radius = (points.id.length > 400 ? 2.5 : 4) * scale;
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left - 8, u.bbox.top - 8, u.bbox.width + 16, u.bbox.height + 16);
    ctx.clip();
    const place = (i) => [u.valToPos(points.t[i], "x", true), u.valToPos(points.score[i], "y", true)];
    for (let i = 0; i < points.id.length; i++) {
      const [x, y] = place(i);
      ctx.fillStyle = points.bad[i] ? bad : good;
      ctx.beginPath();
      if (points.bad[i]) {
        const r = radius * 1.35;
        ctx.moveTo(x, y - r);
        ctx.lineTo(x + r, y + r * 0.8);
        ctx.lineTo(x - r, y + r * 0.8);
        ctx.closePath();
      } else {
        ctx.arc(x, y, radius, 0, 7);
      }
      ctx.fill();
    }
    const i = points.id.indexOf(chosen);
    if (i >= 0) {
      const [x, y] = place(i);
      ctx.strokeStyle = colour("--text");
      ctx.lineWidth = 2 * scale;
      ctx.beginPath();
      ctx.arc(x, y, radius + 5 * scale, 0, 7);
      ctx.stroke();
    }
    ctx.restore();
  }

  function range() {
    const first = points.t[0];
    const last = points.t[points.t.length - 1];
    const span = Math.max(last - first, 3600);
    return [last - 1.03 * span, last + 0.03 * span]; // a young day grows from the right
  }

  function nearest(u, x, y) {
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < points.id.length; i++) {
      const dx = u.valToPos(points.t[i], "x") - x;
      const dy = u.valToPos(points.score[i], "y") - y;
      const d = dx * dx + 0.25 * dy * dy; // time matters more than the score
      if (d < least) [least, best] = [d, i];
    }
    return best;
  }

  function drawChart() {
    if (plot) plot.destroy();
    plot = null;
    const room = $("chart");
    if (!room || !points.id.length) return;
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: colour("--soft"), font, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const stamp = uPlot.fmtDate("{HH}:{mm}");
    plot = new uPlot({
      width: room.clientWidth,
      height: room.clientHeight,
      padding: [10, 20, 0, 0],
      tzDate: (t) => uPlot.tzDate(new Date(t * 1000), "Etc/UTC"),
      scales: { x: { time: true, range }, y: { range: [-0.04, 1.04] } },
      axes: [
        { ...axis, space: 70, size: 26, values: (u, splits) => splits.map((t) => stamp(uPlot.tzDate(new Date(t * 1000), "Etc/UTC"))) },
        { ...axis, size: 40, splits: () => [0, 0.25, 0.5, 0.75, 1], values: (u, splits) => splits.map((v) => v.toFixed(2)) },
      ],
      series: [{}, { show: true, stroke: "transparent", width: 0, paths: () => null, points: { show: false } }],
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      legend: { show: false },
      hooks: { draw: [drawPoints] },
    }, [points.t, points.score], $("plot"));
    plot.over.addEventListener("click", (event) => {
      const box = plot.over.getBoundingClientRect();
      const i = nearest(plot, event.clientX - box.left, event.clientY - box.top);
      if (i >= 0) select(points.id[i]);
    });
    sayChosen();
  }

  function sayChosen() {
    const room = $("chart");
    const i = points.id.indexOf(chosen);
    if (!room || i < 0) return;
    room.setAttribute("aria-valuemax", points.id.length - 1);
    room.setAttribute("aria-valuenow", i);
    const time = new Date(points.t[i] * 1000).toISOString().slice(11, 19);
    room.setAttribute("aria-valuetext", `${time} UTC, ${points.bad[i] ? "degraded" : room.dataset.good} ${points.score[i].toFixed(2)}`);
  }

  /** When a frame was observed, at the latest when it came: a camera's clock may be ahead. */
  const observed = (result) =>
    result.date_obs ? Math.min(seconds(result.date_obs), seconds(result.received_at || result.date_obs)) : null;

  function addPoint(result) {
    const t = observed(result);
    const old = points.id.indexOf(result.id);
    if (old >= 0) for (const column of Object.values(points)) column.splice(old, 1);
    let i = points.t.length;
    while (i > 0 && points.t[i - 1] > t) i--;
    points.t.splice(i, 0, t);
    points.score.splice(i, 0, result.quality.score);
    points.bad.splice(i, 0, result.quality.is_degraded ? 1 : 0);
    points.id.splice(i, 0, result.id);
    soon("plot", 150, () => (plot ? plot.setData([points.t, points.score]) : undefined));
  }

  function onKey(event) {
    const room = $("chart");
    if (event.target !== room || !points.id.length) return;
    const last = points.id.length - 1;
    let i = points.id.indexOf(chosen);
    if (i < 0) i = last;
    const steps = { ArrowLeft: i - 1, ArrowRight: i + 1, PageUp: i + 10, PageDown: i - 10, Home: 0, End: last };
    if (!(event.key in steps)) return;
    event.preventDefault();
    select(points.id[Math.min(last, Math.max(0, steps[event.key]))]);
  }

  // ---- what happens ----

  function onResult(result) {
    if (result.composite) return composite();
    if (result.night || result.onset) return; // of the page Night
    tile(result.instrument);
    if (!page.instrument) return page.pinned ? undefined : wholePage();
    if (result.instrument !== page.instrument) return;
    if (!result.is_reprocessed) announce(result); // an old frame seen anew is no news of the sky
    const t = observed(result);
    const isToday = t !== null && t >= page.start && t < page.end;
    if (!page.pinned && t !== null && t >= page.end) return wholePage(); // a new day has begun
    if (isToday && result.quality) {
      if (!plot) return wholePage();
      addPoint(result);
      listed();
    }
    if (isToday && result.regions) areas();
    const isNewest = isToday && points.id[points.id.length - 1] === result.id;
    if (!page.pinned && (isNewest || t === null)) {
      chosen = newest = result.id;
      soon("panel", 600, () => page.pinned || panel(newest, false));
    }
  }

  let lastWord = "";

  function announce(result) {
    if (!result.quality) return;
    document.title = `${result.quality.is_degraded ? "⚠" : "✓"} ${result.instrument} · Heliowatch`;
    const quality = result.quality.is_degraded ? "degraded" : result.sky ? "good" : "clear";
    const word = result.sky && result.sky.sky_class ? `${quality}, sky ${result.sky.sky_class}` : quality;
    if (word === lastWord) return; // only changes: a camera every 6 s must not talk all day
    lastWord = word;
    const cause = result.quality.causes.length ? `: ${result.quality.causes[0].cause.replaceAll("_", " ")}` : "";
    $("announce").textContent = `${result.instrument} ${word}${quality === "degraded" ? cause : ""}`;
  }

  function onFrame(frame) {
    if (frame.status !== "rejected" && frame.status !== "failed") return;
    if ($("refusals")) refusals();
    else wholePage();
  }

  // ---- beginning, and beginning again after the whole page was replaced ----

  function begin() {
    const data = $("now").dataset;
    page = {
      base: data.base, instrument: data.instrument, pinned: data.pinned,
      start: Number(data.start), end: Number(data.end),
    };
    points = $("points") ? JSON.parse($("points").textContent) : { t: [], score: [], bad: [], id: [] };
    chosen = $("frame") ? Number($("frame").dataset.frame) : null;
    drawChart();
    Panel.restore();
  }

  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-select]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    select(Number(link.dataset.select));
    $("frame").scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("htmx:afterSwap", Panel.restore);
  document.addEventListener("htmx:afterSettle", () => {
    if ($("frame")) chosen = Number($("frame").dataset.frame);
    if (plot) plot.redraw(false);
  });
  addEventListener("resize", () => soon("resize", 120, () => {
    if (plot) plot.setSize({ width: $("chart").clientWidth, height: $("chart").clientHeight });
  }));
  for (const what of ["(prefers-color-scheme: dark)", "print"]) matchMedia(what).addEventListener("change", drawChart);

  begin();
  const { base, seq } = $("now").dataset;
  Link.listen({ base, seq }, { result: onResult, frame: onFrame, alert: firing, missed: wholePage });
  setInterval(lookAgain, QUIET_MS);
  document.addEventListener("visibilitychange", lookAgain);
})();
