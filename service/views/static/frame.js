"use strict";
// The page Frame: looking closer, keys, and a word when something new is known.

(() => {
  const main = document.querySelector("main.one");
  const picture = document.querySelector(".frame .picture:not(.blank)");

  // ---- looking closer: everything that lies over the picture moves with it ----

  const MOST = 16;
  let scale = 1;
  let x = 0; // of the picture's left upper corner, in pixels of the page
  let y = 0;

  function place() {
    const { clientWidth: width, clientHeight: height } = picture;
    x = Math.min(0, Math.max(width - width * scale, x));
    y = Math.min(0, Math.max(height - height * scale, y));
    for (const layer of picture.children) layer.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    picture.classList.toggle("closer", scale > 1);
    const word = `${Number(scale.toFixed(1))} ×`;
    const told = document.getElementById("zoom-word");
    if (told.textContent !== word) told.textContent = word;
  }

  /** Change the scale, keeping the point (px, py) of the picture's window where it is. */
  function zoom(factor, px = picture.clientWidth / 2, py = picture.clientHeight / 2) {
    const next = Math.min(MOST, Math.max(1, scale * factor));
    x = px - ((px - x) * next) / scale;
    y = py - ((py - y) * next) / scale;
    scale = next;
    place();
  }

  const inside = (event) => {
    const box = picture.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  const fingers = new Map();

  function onMove(event) {
    if (!fingers.has(event.pointerId)) return;
    const before = [...fingers.values()];
    const [fromX, fromY] = fingers.get(event.pointerId);
    fingers.set(event.pointerId, inside(event));
    const now = [...fingers.values()];
    if (now.length === 2) {
      const apart = (two) => Math.hypot(two[0][0] - two[1][0], two[0][1] - two[1][1]) || 1;
      zoom(apart(now) / apart(before), (now[0][0] + now[1][0]) / 2, (now[0][1] + now[1][1]) / 2);
    } else if (scale > 1) {
      const [toX, toY] = inside(event);
      x += toX - fromX;
      y += toY - fromY;
      place();
    }
  }

  function begin() {
    document.getElementById("zoom-tools").hidden = false;
    picture.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && scale === 1 && event.deltaY > 0) return; // the page may scroll on
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * 0.0015), ...inside(event));
    }, { passive: false });
    picture.addEventListener("dblclick", (event) => zoom(scale > 1 ? 1 / MOST : 4, ...inside(event)));
    picture.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      fingers.set(event.pointerId, inside(event));
      if (scale > 1) picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointermove", onMove);
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      picture.addEventListener(end, (event) => fingers.delete(event.pointerId));
    }
    picture.addEventListener("dragstart", (event) => event.preventDefault());
    addEventListener("resize", place);
    document.getElementById("zoom-tools").addEventListener("click", (event) => {
      const how = event.target.dataset.zoom;
      if (how) zoom({ in: 1.6, out: 1 / 1.6, fit: 1 / MOST }[how]);
    });
  }

  // ---- keys ----

  const WAYS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }; // of the picture, against the view

  function look([right, down]) {
    x += right * 0.2 * picture.clientWidth;
    y += down * 0.2 * picture.clientHeight;
    place();
  }

  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea, pre, .wide") || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: "prev", ArrowRight: "next" };
    if (scale > 1 && event.key in WAYS) {
      event.preventDefault();
      look(WAYS[event.key]);
    } else if (event.key in steps) {
      const link = document.querySelector(`a[rel=${steps[event.key]}]`);
      if (link) location.assign(link.href);
    } else if (picture && (event.key === "+" || event.key === "=")) zoom(1.6);
    else if (picture && event.key === "-") zoom(1 / 1.6);
    else if (picture && event.key === "0") zoom(1 / MOST);
  });

  // ---- the header: read from the file when somebody wants it ----

  const fileHeader = document.getElementById("file-header");

  async function showHeader() {
    const place = document.getElementById("header");
    place.textContent = "…";
    const page = await Link.fetched(fileHeader.dataset.address);
    place.replaceWith(page?.getElementById("header") ?? "It cannot be shown.");
  }

  // ---- news ----

  const tell = () => { document.getElementById("news").hidden = false; };
  const ofThis = ({ id }) => { if (String(id) === main.dataset.frame) tell(); };

  if (picture) begin();
  fileHeader.addEventListener("toggle", () => Link.soon("header", 0, showHeader), { once: true });
  Panel.restore();
  Link.listen({ base: main.dataset.base, seq: main.dataset.seq }, { result: ofThis, frame: ofThis, missed: tell });
})();
