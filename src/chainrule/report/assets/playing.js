/* A step of training in the page: `programs` and `predict` are made from the network's own program. */
const livePlayer = ({ data, make, svg, number, say, dark, drawn, opened }) => {
  const { live } = data;
  const $ = (id) => document.getElementById(id);
  const TYPES = { u1: Uint8Array, i1: Int8Array, i2: Int16Array, i4: Int32Array, f4: Float32Array };
  const decoded = (told) => {
    const bytes = Uint8Array.from(atob(told.data), (c) => c.charCodeAt(0)), scale = told.scale ?? 1;
    return Float64Array.from(new TYPES[told.type](bytes.buffer), (v) => v * scale);
  };
  const given = Object.fromEntries(Object.entries(live.data).map(([name, told]) => [name, decoded(told)]));
  const last = live.stops.length - 1;
  let notation, stop = last, extra = 0, stored = {}, values = null, costs = [], playing = null;

  /* --- the state, and a step --- */
  const settings = () => ({ ...live.settings, t: extra + 1 });
  const compute = () => (values ??= programs[notation.program]({ ...given, ...settings(), ...stored }));
  const value = (name, after) => {
    if (after) return compute()[name];
    for (const known of [stored, given, settings()]) if (name in known) return known[name];
    return compute()[name];
  };
  const step = () => {
    const now = compute();
    costs.push(now[live.cost]);
    stored = Object.fromEntries(live.stored.map((name) => [name, now[name] ?? stored[name]]));
    extra += 1;
    values = null;
  };
  const start = (which) => {
    stop = which;
    extra = 0;
    costs = [];
    values = null;
    stored = Object.fromEntries(Object.entries(live.stops[stop].arrays).map(([name, told]) => [name, decoded(told)]));
    for (const [name, shape] of Object.entries(live.slots)) stored[name] = new Float64Array(shape.reduce((a, b) => a * b, 1));
  };
  const forward = (X, rows) => predict({ ...live.settings, ...stored, [inputs]: X })[live.prediction];
  const inputs = Object.keys(live.data)[0];

  /* --- what is seen --- */
  const paints = [];
  const paint = () => {
    opened.compute(value);
    paints.forEach((draw) => draw());
  };
  const where = () => {
    const at = live.stops[stop].step;
    const base = at === null ? "the trained weights" : at === 0 ? "before the first step" : "after " + at.toLocaleString("en") + " steps";
    const rounded = Object.values(live.stops[stop].arrays).some((told) => told.type === "i1");
    return base + (rounded ? " (rounded to 8 bits)" : "") + (extra ? ", and " + extra.toLocaleString("en") + " played here" : "");
  };
  const cost = () => (live.cost ? "J of these samples " + number(compute()[live.cost]) : "");

  /* --- slider and buttons, here and beside the derivation --- */
  const controls = (place) => {
    const button = (says, act) => {
      const one = make("button", { type: "button", class: "quiet" }, says);
      one.addEventListener("click", act);
      return one;
    };
    const slider = make("input", { type: "range", min: 0, max: last, step: 1, "aria-label": "Step of training" });
    const reading = make("output", { class: "where" });
    slider.addEventListener("input", () => { pause(); start(+slider.value); paint(); say(where() + "; " + cost()); });
    const play = button("", () => (playing === null ? run() : pause()));
    play.classList.add("play");
    const row = make("div", { class: "controls" }, make("label", { class: "stops" }, make("span", {}, "Step of training"), slider));
    if (live.trains) row.append(button("Step", () => { pause(); step(); paint(); say(where() + "; " + cost()); }), play, button("Reset", () => { pause(); start(stop); paint(); say(where()); }));
    row.append(reading);
    paints.push(() => {
      slider.value = stop;
      slider.setAttribute("aria-valuetext", where());
      play.textContent = playing === null ? "Play" : "Pause";
      reading.textContent = where() + (live.cost ? " · " + cost() : "");
    });
    place.append(row);
  };
  const pause = () => {
    if (playing !== null) cancelAnimationFrame(playing);
    playing = null;
  };
  const run = () => {
    const frame = () => {
      const begun = performance.now();
      do step(); while (performance.now() - begun < 10 && costs.length % 20);
      playing = requestAnimationFrame(frame);
      if (!Number.isFinite(costs.at(-1))) pause();
      paint();
    };
    playing = requestAnimationFrame(frame);
    paint();
  };

  /* --- the cost over the steps played --- */
  const curve = (place) => {
    const W = 420, H = 150, picture = svg("svg", { viewBox: "0 0 " + W + " " + H, role: "img" });
    const path = svg("path"), zero = svg("line", { x1: 46, x2: W - 8, y1: H - 24, y2: H - 24 });
    path.style.stroke = "var(--s0)";
    const text = (x, y, anchor) => svg("text", { x, y, "text-anchor": anchor });
    const [top, bottom, end, axis] = [text(42, 16, "end"), text(42, H - 20, "end"), text(W - 8, H - 6, "end"), text(46, H - 6, "start")];
    axis.textContent = "steps played";
    picture.append(zero, path, top, bottom, end, axis);
    place.append(make("figure", { class: "cost" }, make("figcaption", {}, "Cost J of these samples"), picture));
    paints.push(() => {
      const all = [...costs, compute()[live.cost]], largest = Math.max(...all.filter(Number.isFinite), 1e-30);
      const thin = Math.ceil(all.length / 400), shown = all.map((c, k) => [k, c]).filter(([k, c]) => (k % thin === 0 || k === all.length - 1) && Number.isFinite(c));
      const px = (k) => 46 + (k / Math.max(1, all.length - 1)) * (W - 54), py = (c) => H - 24 - (c / largest) * (H - 38);
      path.setAttribute("d", shown.map(([k, c], n) => (n ? "L" : "M") + px(k).toFixed(1) + " " + py(c).toFixed(1)).join("") + (shown.length === 1 ? "h4" : ""));
      top.textContent = number(largest, 3);
      bottom.textContent = "0";
      end.textContent = extra.toLocaleString("en");
      picture.setAttribute("aria-label", "The cost over " + extra + " steps played: now " + number(all.at(-1)));
    });
  };

  /* --- two inputs: what the network says of all that lies between --- */
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const rgb = (text) => [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16));
  const map = (place) => {
    const { low, high, points, classes, names, axes } = live.map, N = 72;
    const canvas = make("canvas", { width: 4 * N, height: 4 * N, class: "map", role: "img" });
    place.append(make("figure", {}, make("figcaption", {}, classes ? "The class it would say, anywhere between the two inputs" : "The number it would say, anywhere between the two inputs"), canvas,
      make("p", { class: "note" }, "Across: " + axes[0] + "; up: " + axes[1] + "."),
      make("ul", { class: "legend" }, ...names.map((name, k) => make("li", {}, make("i", { class: "s" + (k % 7) }), name)))));
    const grid = new Float64Array(2 * N * N);
    for (let i = 0; i < N; i++) for (let j = 0; j < N; j++) {
      grid[2 * (i * N + j)] = low[0] + ((j + 0.5) / N) * (high[0] - low[0]);
      grid[2 * (i * N + j) + 1] = high[1] - ((i + 0.5) / N) * (high[1] - low[1]);
    }
    const small = make("canvas", { width: N, height: N });
    paints.push(() => {
      const said = forward(grid), width = said.length / (N * N), image = new ImageData(N, N);
      const paper = rgb(css("--paper")), colours = [0, 1, 2, 3, 4, 5, 6].map((k) => rgb(css("--s" + k)));
      const numbers = classes ? [] : [...said].filter(Number.isFinite), least = Math.min(...numbers), most = Math.max(...numbers);
      for (let k = 0; k < N * N; k++) {
        let mixed = [0, 0, 0];
        const add = (colour, share) => { mixed = mixed.map((c, n) => c + share * colour[n]); };
        if (!classes) { const p = (said[k * width] - least) / (most - least || 1); add(colours[0], 1 - p); add(colours[1], p); }
        else if (width === 1) { const p = Math.min(1, Math.max(0, said[k])); add(colours[0], 1 - p); add(colours[1], p); }
        else for (let c = 0; c < width; c++) add(colours[c % 7], Math.min(1, Math.max(0, said[k * width + c])));
        mixed.forEach((c, n) => { image.data[4 * k + n] = 0.45 * paper[n] + 0.55 * c; });
        image.data[4 * k + 3] = 255;
      }
      small.getContext("2d").putImageData(image, 0, 0);
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = true;
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
      const values = points.map((p) => p[2]), from = Math.min(...values), to = Math.max(...values);
      for (const [a, b, c] of points) {
        const p = (c - from) / (to - from || 1);
        const colour = classes ? colours[c % 7] : colours[0].map((v, n) => (1 - p) * v + p * colours[1][n]);
        context.beginPath();
        context.arc(((a - low[0]) / (high[0] - low[0])) * canvas.width, (1 - (b - low[1]) / (high[1] - low[1])) * canvas.height, 3, 0, 7);
        context.fillStyle = "rgb(" + colour.join(",") + ")";
        context.strokeStyle = css("--paper");
        context.fill();
        context.stroke();
      }
      canvas.setAttribute("aria-label", "Map of the two inputs, " + points.length + " samples on it; " + where());
    });
  };

  /* --- images: what is drawn is classified --- */
  const pad = (place) => {
    const { shape: [rows, columns], names } = live.pad, low = decoded(live.pad.low), high = decoded(live.pad.high);
    const ink = new Float64Array(rows * columns);
    const canvas = make("canvas", { width: columns, height: rows, class: "pad", tabindex: "0", role: "application", "aria-label": "Drawing: the arrow keys move, space draws, delete clears" });
    const bars = make("ol", { class: "bars" }), rest = make("p", { class: "verdict", "aria-live": "polite" });
    const fills = names.map((name) => {
      const fill = make("i"), share = make("b");
      bars.append(make("li", {}, make("span", {}, name), make("div", {}, fill), share));
      return { fill, share };
    });
    let cursor = null, next = 0;
    const show = () => {
      const X = low.map((v, k) => v + ink[k] * (high[k] - v)), said = forward(X);
      const shares = said.length === 1 ? [1 - said[0], said[0]] : [...said], best = shares.indexOf(Math.max(...shares));
      fills.forEach(({ fill, share }, k) => {
        fill.style.width = 100 * Math.min(1, Math.max(0, shares[k])) + "%";
        share.textContent = Math.round(100 * shares[k]) + " %";
        fill.parentElement.parentElement.classList.toggle("best", k === best && ink.some(Boolean));
      });
      rest.textContent = ink.some(Boolean) ? "It says " + names[best] + " (" + Math.round(100 * shares[best]) + " %)" : "Draw something.";
      const image = new ImageData(columns, rows), paper = rgb(css("--paper")), dye = rgb(css("--ink"));
      ink.forEach((v, k) => { for (let n = 0; n < 3; n++) image.data[4 * k + n] = paper[n] + v * (dye[n] - paper[n]); image.data[4 * k + 3] = 255; });
      if (cursor) { const k = 4 * (cursor[0] * columns + cursor[1]); rgb(css("--accent")).forEach((c, n) => { image.data[k + n] = (image.data[k + n] + c) / 2; }); }
      canvas.getContext("2d").putImageData(image, 0, 0);
    };
    const dab = (y, x) => { // a round brush, a tenth of the image wide
      const radius = Math.max(0.75, Math.max(rows, columns) / 18);
      for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
        const away = Math.hypot(i + 0.5 - y, j + 0.5 - x);
        ink[i * columns + j] = Math.max(ink[i * columns + j], Math.min(1, Math.max(0, 1.35 - 0.7 * away / radius)));
      }
    };
    let before = null;
    const draw = (event) => {
      const box = canvas.getBoundingClientRect();
      const [y, x] = [((event.clientY - box.top) / box.height) * rows, ((event.clientX - box.left) / box.width) * columns];
      const [fromY, fromX] = before ?? [y, x], count = Math.max(1, Math.ceil(4 * Math.hypot(y - fromY, x - fromX)));
      for (let n = 1; n <= count; n++) dab(fromY + (n / count) * (y - fromY), fromX + (n / count) * (x - fromX));
      before = [y, x];
      cursor = null;
      show();
    };
    canvas.addEventListener("pointerdown", (event) => { before = null; try { canvas.setPointerCapture(event.pointerId); } catch { /* not a real pointer */ } draw(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) draw(event); });
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (event.key in moves) {
        const [y, x] = cursor ?? [Math.floor(rows / 2), Math.floor(columns / 2)];
        cursor = [Math.min(rows - 1, Math.max(0, y + moves[event.key][0])), Math.min(columns - 1, Math.max(0, x + moves[event.key][1]))];
        if (event.shiftKey) dab(cursor[0] + 0.5, cursor[1] + 0.5);
      } else if (event.key === " ") {
        cursor ??= [Math.floor(rows / 2), Math.floor(columns / 2)];
        dab(cursor[0] + 0.5, cursor[1] + 0.5);
      } else if (event.key === "Delete" || event.key === "Backspace") ink.fill(0);
      else return;
      event.preventDefault();
      show();
    });
    const button = (says, act) => { const one = make("button", { type: "button", class: "quiet" }, says); one.addEventListener("click", act); return one; };
    const clear = button("Clear", () => { ink.fill(0); cursor = null; show(); });
    const sample = button("Next sample", () => {
      const X = given[inputs], size = rows * columns, k = next++ % live.samples;
      for (let n = 0; n < size; n++) ink[n] = high[n] > low[n] ? Math.min(1, Math.max(0, (X[k * size + n] - low[n]) / (high[n] - low[n]))) : 0;
      cursor = null;
      show();
    });
    place.append(make("figure", { class: "drawing" }, make("figcaption", {}, "Draw here: it is classified with the weights of this step"), make("div", { class: "beside" }, canvas, make("div", {}, rest, bars)), make("div", { class: "buttons" }, clear, sample)));
    paints.push(show);
  };

  start(last);
  controls($("player"));
  const shown = make("div", { class: "shown" });
  $("player").append(shown);
  if (live.map) map(shown);
  if (live.pad) pad(shown);
  if (live.cost && live.trains) curve(shown);
  controls($("steps"));
  return {
    begin: (chosen) => {
      notation = chosen;
      values = null;
      drawn.add(() => paints.forEach((draw) => draw()));
      paint();
    },
    value: (name, after = false) => value(name, after),
    step,
  };
};
