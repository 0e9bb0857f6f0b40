"use strict";
// The page works without this: it adds the reading of values and the moving map.
for (const plot of document.querySelectorAll(".plot")) {
  const block = plot.querySelector("script[type='application/json']");
  if (block && plot.querySelector(".svg")) cursor(plot, JSON.parse(block.textContent));
  if (block && plot.classList.contains("map")) moves(plot, JSON.parse(block.textContent));
}

function cursor(plot, data) {
  const values = [...plot.querySelectorAll("[data-value]")], at = plot.querySelector("[data-at]");
  const rest = [at.textContent, ...values.map((value) => value.textContent)];
  const say = (row) => {
    at.textContent = row[0];
    values.forEach((value, i) => { value.textContent = row[i + 1]; });
  };
  for (const holder of plot.querySelectorAll(".svg")) {
    const svg = holder.querySelector("svg"), [left, top, width, height] = holder.dataset.box.split(" ").map(Number);
    const line = document.createElementNS(svg.namespaceURI, "line");
    line.setAttribute("class", "cursor");
    line.setAttribute("y1", top);
    line.setAttribute("y2", top + height);
    line.setAttribute("visibility", "hidden");
    svg.append(line);
    let here = data.rows.length - 1;
    const show = (i) => {
      here = Math.max(0, Math.min(data.rows.length - 1, i));
      const x = left + width * data.at[here];
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      line.setAttribute("visibility", "visible");
      say(data.rows[here]);
    };
    const leave = () => { line.setAttribute("visibility", "hidden"); say(rest); };
    holder.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
      const wanted = ((event.clientX - box.left) * scale - left) / width;
      let best = 0;
      data.at.forEach((x, i) => { if (Math.abs(x - wanted) < Math.abs(data.at[best] - wanted)) best = i; });
      show(best);
    });
    holder.addEventListener("pointerleave", leave);
    holder.addEventListener("blur", leave);
    holder.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(here + step);
      holder.setAttribute("aria-label", rows(data, here, plot));
    });
  }
}

function rows(data, here, plot) {
  const names = [...plot.querySelectorAll("thead th")].map((cell) => cell.textContent);
  return data.rows[here].map((value, i) => names[i] + " " + value).join(", ");
}

function moves(plot, data) {
  const slider = plot.querySelector("input"), button = plot.querySelector("[data-play]"), time = plot.querySelector("output");
  const dots = [...plot.querySelectorAll(".people circle")], jams = [...plot.querySelectorAll("[data-jam]")];
  const last = data.frames.length - 1;
  const between = (from, to, part) => from && to ? [from[0] + (to[0] - from[0]) * part, from[1] + (to[1] - from[1]) * part] : from;
  const show = (position) => {
    const frame = Math.min(last, Math.floor(position)), next = Math.min(last, frame + 1), part = position - frame;
    dots.forEach((dot, i) => {
      const spot = between(data.frames[frame][i], data.frames[next][i], part);
      dot.setAttribute("visibility", spot ? "visible" : "hidden");
      if (spot) { dot.setAttribute("cx", spot[0].toFixed(1)); dot.setAttribute("cy", spot[1].toFixed(1)); }
    });
    jams.forEach((jam, i) => {
      const spot = between(data.jam[i][frame], data.jam[i][next], part);
      jam.setAttribute("visibility", spot ? "visible" : "hidden");
      if (spot) jam.setAttribute("transform", "translate(" + spot.join(" ") + ")");
    });
    time.textContent = data.at[Math.round(position)];
    slider.setAttribute("aria-valuetext", time.textContent);
  };
  let playing = 0, before = 0;
  const stop = () => { cancelAnimationFrame(playing); playing = 0; button.textContent = "Play"; };
  const tick = (now) => {
    const position = Number(slider.value) + (now - before) / 250;
    before = now;
    slider.value = Math.min(last, position);
    show(Number(slider.value));
    if (position >= last) stop(); else playing = requestAnimationFrame(tick);
  };
  slider.disabled = last < 1;
  button.hidden = last < 1;
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  slider.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    stop();
    slider.value = Math.max(0, Math.min(last, Math.round(Number(slider.value)) + step));
    show(Number(slider.value));
  });
  button.addEventListener("click", () => {
    if (playing) { stop(); return; }
    if (Number(slider.value) >= last) slider.value = 0;
    button.textContent = "Pause";
    before = performance.now();
    playing = requestAnimationFrame(tick);
  });
  show(0);
}
