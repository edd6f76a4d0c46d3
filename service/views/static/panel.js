"use strict";
// What can be switched in the panel of one frame: spoilt parts, cloud, outlines, the seam between before and after.
// What was chosen stays from frame to frame.

const Panel = (() => {
  const shown = { "show-map": true, "show-clouds": false }; // maps over the picture
  let seam = 50;

  /** Part of an address that keeps which outlines are on; nothing while it is the usual choice. */
  function outlines() {
    const given = new URLSearchParams(location.search).getAll("outlines");
    return given.length ? `&outlines=${encodeURIComponent(given.join(","))}` : "";
  }

  /** Note in the address which outlines are on, so that a link shows the same. */
  function keepOutlines(form) {
    const boxes = [...form.querySelectorAll("input[name=outlines][type=checkbox]")];
    const query = new URLSearchParams(location.search);
    query.delete("outlines");
    if (!boxes.every((box) => box.checked)) {
      query.set("outlines", boxes.filter((box) => box.checked).map((box) => box.value).join(",") || "none");
    }
    const words = query.toString().replaceAll("%2C", ",");
    history.replaceState(null, "", `${location.pathname}${words ? `?${words}` : ""}`);
  }

  function placeSeam() {
    const input = document.querySelector(".sides .place"); // no id: htmx would give it back its old attributes
    if (!input) return;
    input.value = seam;
    input.setAttribute("aria-valuetext", `${seam} % before, ${100 - seam} % enhanced`);
    input.parentElement.style.setProperty("--at", `${seam}%`);
  }

  /** Bring a panel that was just fetched into the state of the one before. */
  function restore() {
    for (const [id, isShown] of Object.entries(shown)) {
      const box = document.getElementById(id);
      if (box) box.checked = isShown;
    }
    placeSeam();
  }

  document.addEventListener("change", (event) => {
    if (event.target.id in shown) shown[event.target.id] = event.target.checked;
    if (event.target.name === "outlines") keepOutlines(event.target.form);
  });
  document.addEventListener("input", (event) => {
    if (!event.target.matches(".sides .place")) return;
    seam = Number(event.target.value);
    placeSeam();
  });

  return { outlines, restore };
})();
