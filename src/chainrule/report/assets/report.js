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

  /* --- the derivation --- */
  const opened = openedEquations({ data, make, typeset, number, say, dark, drawn });
  const show = (name, open = []) => {
    const notation = data.notations.find((n) => n.name === name);
    $("notation-says").textContent = notation.says;
    drawn.clear();
    opened.begin(notation);
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
            if (!panel.hidden && !panel.firstChild) opened.fill(panel, line);
          };
          button.addEventListener("click", toggle);
          button.dataset.target = line.result.of;
          item.append(button, panel);
          if (open.includes(section + line.result.of)) toggle();
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
  const openLines = () => [...document.querySelectorAll("#lines h3")].flatMap((h) =>
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
    input.addEventListener("change", () => show(input.value, openLines()));
  }
  show(document.querySelector('input[name="notation"]:checked').value);
})();
