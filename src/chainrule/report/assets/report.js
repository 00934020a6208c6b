"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const headings = { forward: "Forward", cost: "Cost", backward: "Backward", update: "Update" };

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const svg = (tag, attributes = {}) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const typeset = (text) => {
    const holder = make("span");
    holder.innerHTML = text;
    return holder;
  };
  const number = (value, digits = 4) => {
    if (typeof value !== "number") return String(value);
    if (value === 0) return "0";
    const size = Math.abs(value);
    const text = size >= 1e5 || size < 1e-3 ? value.toExponential(digits - 2).replace("e+", "e") : String(+value.toPrecision(digits));
    return text.replaceAll("-", "\u2212");
  };
  const say = (text) => { $("told").textContent = text; };

  /* --- dark and light --- */
  const root = document.documentElement;
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const printed = matchMedia("print");
  const dark = () => !printed.matches && (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  try { const kept = localStorage.getItem("chainrule-theme"); if (kept) root.dataset.theme = kept; } catch { /* no storage */ }
  const drawn = new Set();
  const redraw = () => drawn.forEach((draw) => draw());
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("chainrule-theme", root.dataset.theme); } catch { /* no storage */ }
    say(root.dataset.theme + " colours");
    redraw();
  });
  for (const change of [systemDark, printed]) change.addEventListener("change", redraw);

  /* --- heat maps --- */
  const hex = (text) => [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16));
  const ramp = (stops) => {
    const colours = stops.map(hex), table = new Uint8ClampedArray(256 * 3);
    for (let k = 0; k < 256; k++) {
      const at = (k / 255) * (colours.length - 1), i = Math.min(Math.floor(at), colours.length - 2), part = at - i;
      for (let c = 0; c < 3; c++) table[3 * k + c] = colours[i][c] * (1 - part) + colours[i + 1][c] * part;
    }
    return table;
  };
  const ramps = {
    signed: [ramp(["#08306b", "#3f8fc9", "#f7f7f5", "#e08a3c", "#7a2b00"]), ramp(["#b9e0ff", "#3d94d6", "#1d222b", "#dd7a1f", "#ffd9a8"])],
    amounts: [ramp(["#f7f7f5", "#3f8fc9", "#08306b"]), ramp(["#1d222b", "#3d94d6", "#b9e0ff"])],
  };
  const bytes = (array) => array.bytes ??= Uint8Array.from(atob(array.data), (c) => c.charCodeAt(0));
  const shapeOf = (array, flipped) => {
    const shape = flipped && array.shape.length === 2 ? [...array.shape].reverse() : array.shape;
    return shape.length === 0 ? "a number" : shape.length === 1 ? "(" + shape[0] + ",)" : "(" + shape.join(", ") + ")";
  };
  const sizes = (rows, columns) => {
    const scale = Math.min(212 / columns, 200 / rows, 26);
    return [Math.max(columns * scale, 40), Math.max(rows * scale, 28)];
  };

  const heat = (shown, result) => {
    const array = data.arrays[shown.array];
    const flipped = shown.flipped && array.shape.length === 2;
    const figure = make("figure");
    const name = make("span", { class: "name" });
    name.append(typeset(shown.mathml));
    const caption = make("figcaption", {}, name);
    if (!shown.mathml.startsWith("<code>")) caption.append(" ", make("code", {}, shown.name));
    if (result) caption.append(make("span", { class: "tag" }, "result"));
    if (array.shape.length === 0) {
      figure.append(make("div", { class: "value" }, number(array.mean)), caption);
      return figure;
    }
    const said = "min " + number(array.min) + ", max " + number(array.max) + ", mean " + number(array.mean) + ", zeros " + +(100 * array.zeros).toFixed(1) + " %";
    const [rows, columns] = flipped ? [array.columns, array.rows] : [array.rows, array.columns];
    const canvas = make("canvas", { width: columns, height: rows, role: "img", "aria-label": shown.name + " " + shapeOf(array, flipped) + ": " + said });
    const [width, height] = sizes(rows, columns);
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
    const values = bytes(array);
    const at = (i, j) => values[flipped ? j * array.columns + i : i * array.columns + j];
    const bar = make("i");
    const paint = () => {
      const table = ramps[array.low < 0 ? "signed" : "amounts"][dark() ? 1 : 0];
      const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
      for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
        const k = 3 * at(i, j), p = 4 * (i * columns + j);
        image.data[p] = table[k]; image.data[p + 1] = table[k + 1]; image.data[p + 2] = table[k + 2]; image.data[p + 3] = 255;
      }
      context.putImageData(image, 0, 0);
      const stops = [0, 64, 128, 191, 255].map((k) => "rgb(" + [...table.slice(3 * k, 3 * k + 3)].join(",") + ")");
      bar.style.background = "linear-gradient(90deg," + stops.join(",") + ")";
    };
    paint();
    drawn.add(paint);
    const reading = make("div", { class: "reading" });
    const summary = [["min", number(array.min, 3)], ["max", number(array.max, 3)], ["mean", number(array.mean, 3)], ["zeros", +(100 * array.zeros).toFixed(1) + " %"]];
    const rest = () => reading.replaceChildren(...summary.map(([what, value]) => make("span", {}, what + " ", make("b", {}, value))));
    rest();
    const [every, across] = flipped ? [array.every[1], array.every[0]] : array.every;
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const i = Math.min(rows - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * rows)));
      const j = Math.min(columns - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * columns)));
      const byte = at(i, j), value = array.low + (byte * (array.high - array.low)) / 255;
      const beyond = (byte === 255 && array.max > array.high) || (byte === 0 && array.min < array.low);
      const where = array.shape.length === 1 ? j * across : i * every + ", " + j * across;
      reading.textContent = "[" + where + "]  " + (beyond ? "beyond " : "≈ ") + number(Math.abs(value) < (array.high - array.low) / 512 ? 0 : value);
    });
    canvas.addEventListener("pointerleave", rest);
    caption.append(" ", shapeOf(array, flipped), reading);
    if (array.every[0] * array.every[1] > 1) {
      const kept = [[every, "row"], [across, "column"]].filter(([n]) => n > 1).map(([n, what]) => "every " + (n === 2 ? "2nd" : n === 3 ? "3rd" : n + "th") + " " + what);
      caption.append(make("div", {}, kept.join(", ") + " is shown"));
    }
    caption.append(make("div", { class: "bar" }, number(array.low, 3), bar, number(array.high, 3)));
    figure.append(canvas, caption);
    return figure;
  };

  /* --- the derivation --- */
  const copy = async (text, what) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = make("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    say(what + " copied");
  };
  const copier = (label, text) => {
    const button = make("button", { type: "button", class: "quiet" }, "Copy " + label);
    button.addEventListener("click", async () => {
      await copy(text, label);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy " + label; }, 1400);
    });
    return button;
  };
  const fill = (panel, line, code) => {
    panel.append(make("p", { class: "why" }, line.why));
    const arrays = make("div", { class: "arrays" });
    line.operands.forEach((shown) => arrays.append(heat(shown, false)));
    if (line.operands.length && line.result) {
      arrays.append(make("div", { class: "result" }, make("div", { class: "becomes", "aria-hidden": "true" }, "→"), heat(line.result, true)));
    } else if (line.result) arrays.append(heat(line.result, false));
    panel.append(arrays);
    const buttons = make("div", { class: "buttons" });
    buttons.append(code ? copier("source", line.text) : copier("LaTeX", line.latex));
    if (!code) buttons.append(copier("text", line.text));
    panel.append(buttons);
  };
  const show = (name, open = []) => {
    const notation = data.notations.find((n) => n.name === name);
    $("notation-says").textContent = notation.says;
    drawn.clear();
    const all = document.createDocumentFragment();
    for (const [section, heading] of Object.entries(headings)) {
      const lines = notation.lines.filter((line) => line.section === section);
      if (!lines.length) continue;
      all.append(make("h3", { id: "part-" + section }, heading));
      const list = make("ol", { class: "lines", "aria-labelledby": "part-" + section });
      for (const line of lines) {
        const formula = make("span", { class: "formula" });
        if (notation.code) formula.append(make("code", {}, line.text));
        else formula.innerHTML = line.mathml;
        const shape = make("span", { class: "shape" }, line.shape);
        const item = make("li");
        if (line.result) {
          const id = "panel-" + section + "-" + list.children.length;
          const button = make("button", { type: "button", class: "line", "aria-expanded": "false", "aria-controls": id }, formula, shape);
          const panel = make("div", { class: "panel", id });
          panel.hidden = true;
          const toggle = () => {
            panel.hidden = !panel.hidden;
            button.setAttribute("aria-expanded", String(!panel.hidden));
            if (!panel.hidden && !panel.firstChild) fill(panel, line, notation.code);
          };
          button.addEventListener("click", toggle);
          button.dataset.target = line.result.name;
          item.append(button, panel);
          if (open.includes(section + line.result.name)) toggle();
        } else {
          item.append(make("div", { class: "line" }, formula, shape));
        }
        list.append(item);
      }
      all.append(list);
    }
    $("lines").replaceChildren(all);
    charts.forEach((draw) => drawn.add(draw));
  };
  const opened = () => [...document.querySelectorAll("#lines h3")].flatMap((h) =>
    [...h.nextElementSibling.querySelectorAll('button.line[aria-expanded="true"]')].map((b) => h.id.slice(5) + b.dataset.target));

  /* --- curves --- */
  const W = $("charts") ? Math.max(250, Math.min(460, $("charts").clientWidth)) : 420, H = 220, LEFT = 50, RIGHT = 10, TOP = 10, BOTTOM = 26;
  const round = (low, high, count) => {
    const raw = (high - low || Math.abs(high) || 1) / count, size = 10 ** Math.floor(Math.log10(raw));
    const step = size * ([1, 2, 5, 10].find((k) => k * size >= raw) ?? 10);
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(+(k * step).toPrecision(12));
    return ticks;
  };
  const chart = (about) => {
    const { x, series, log } = about;
    const value = (v) => (v === null || (log && v <= 0) ? null : log ? Math.log10(v) : v);
    const flat = series.flatMap((s) => s.values.map(value)).filter((v) => v !== null);
    let low = Math.min(...flat), high = Math.max(...flat);
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    const floor = !log && low >= 0 && low - room < 0;
    low = floor ? 0 : low - room; high += room;
    const left = x[0], right = x[x.length - 1];
    const px = (v) => LEFT + (right > left ? (v - left) / (right - left) : 0.5) * (W - LEFT - RIGHT);
    const py = (v) => TOP + (1 - (v - low) / (high - low)) * (H - TOP - BOTTOM);
    const picture = svg("svg", { viewBox: "0 0 " + W + " " + H, tabindex: "0", role: "img" });
    let ticks = round(low, high, 5);
    if (log) {
      const decades = (steps) => [...Array(Math.ceil(high) - Math.floor(low) + 1).keys()]
        .flatMap((k) => steps.map((s) => Math.floor(low) + k + Math.log10(s))).filter((t) => t >= low && t <= high);
      ticks = decades([1]);
      if (ticks.length < 3) ticks = decades([1, 2, 5]);
    }
    for (const t of ticks) {
      picture.append(svg("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: py(t), y2: py(t) }));
      const text = svg("text", { class: "tick", x: LEFT - 6, y: py(t) + 4, "text-anchor": "end" });
      text.textContent = number(log ? 10 ** t : t);
      picture.append(text);
    }
    for (const t of round(left, right, 5).filter(Number.isInteger)) {
      const text = svg("text", { class: "tick", x: px(t), y: H - 8, "text-anchor": "middle" });
      text.textContent = t.toLocaleString("en");
      picture.append(text);
    }
    const legend = make("ul", { class: "legend" });
    const cells = series.map((s, k) => {
      const colour = "var(--s" + (k % 7) + ")", reading = make("b");
      let path = "", pen = "M";
      s.values.forEach((v, i) => {
        if (value(v) === null) { pen = "M"; return; }
        path += pen + px(x[i]).toFixed(1) + " " + py(value(v)).toFixed(1);
        pen = "L";
      });
      const line = svg("path", { class: "series", d: path });
      line.style.stroke = colour;
      picture.append(line);
      const there = (i) => i in s.values && value(s.values[i]) !== null;
      s.values.forEach((v, i) => {
        if (!there(i) || there(i - 1) || there(i + 1)) return; // a line of one point is a dot
        const dot = svg("circle", { class: "point", r: 3.5, cx: px(x[i]), cy: py(value(v)) });
        dot.style.fill = colour;
        picture.append(dot);
      });
      const swatch = make("i");
      swatch.style.background = colour;
      legend.append(make("li", {}, swatch, s.name + " ", reading));
      return reading;
    });
    const rule = svg("line", { class: "rule", y1: TOP, y2: H - BOTTOM });
    rule.style.display = "none";
    const dots = series.map((_, k) => {
      const dot = svg("circle", { r: 4 });
      dot.style.fill = "var(--s" + (k % 7) + ")";
      dot.style.display = "none";
      return dot;
    });
    picture.append(rule, ...dots);
    const where = make("li");
    legend.prepend(where);
    let place = x.length - 1;
    const read = (i, aloud) => {
      place = i;
      rule.style.display = "";
      rule.setAttribute("x1", px(x[i]));
      rule.setAttribute("x2", px(x[i]));
      where.textContent = about.over + " " + x[i].toLocaleString("en");
      series.forEach((s, k) => {
        const v = s.values[i], seen = value(v) !== null;
        cells[k].textContent = v === null ? "" : number(v);
        dots[k].style.display = seen ? "" : "none";
        if (seen) { dots[k].setAttribute("cx", px(x[i])); dots[k].setAttribute("cy", py(value(v))); }
      });
      if (aloud) say(legend.textContent);
    };
    const rest = () => {
      rule.style.display = "none";
      dots.forEach((dot) => { dot.style.display = "none"; });
      where.textContent = "";
      series.forEach((s, k) => {
        const last = [...s.values].reverse().find((v) => v !== null);
        cells[k].textContent = last === undefined ? "" : number(last);
      });
    };
    rest();
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const at = left + ((((event.clientX - box.left) / box.width) * W - LEFT) / (W - LEFT - RIGHT)) * (right - left);
      let best = 0;
      x.forEach((v, i) => { if (Math.abs(v - at) < Math.abs(x[best] - at)) best = i; });
      read(best, false);
    });
    picture.addEventListener("pointerleave", rest);
    picture.addEventListener("blur", rest);
    picture.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: x.length - 1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      read(Math.min(x.length - 1, Math.max(0, moves[event.key])), true);
    });
    picture.setAttribute("aria-label", about.title + " over " + x.length + " records; the last: " + legend.textContent);
    $("charts").append(make("figure", { class: "chart" }, make("figcaption", {}, about.title), legend, picture));
  };
  const charts = [];

  if ($("charts")) data.curves.forEach(chart);
  for (const input of document.querySelectorAll('input[name="notation"]')) {
    input.addEventListener("change", () => show(input.value, opened()));
  }
  show(document.querySelector('input[name="notation"]:checked').value);
})();
