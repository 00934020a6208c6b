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
  const typeset = (text, tag = "span", kind = "") => {
    const holder = make(tag, kind ? { class: kind } : {});
    holder.innerHTML = text;
    return holder;
  };
  const number = (value, digits = 4) => {
    if (typeof value !== "number") return String(value);
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-3 || size >= 1e7) {
      const [factor, power] = value.toExponential(digits - 1).split("e");
      const raised = [...String(+power)].map((c) => (c === "-" ? "\u207b" : "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[c])).join("");
      return (+factor + " \u00b7 10" + raised).replaceAll("-", "\u2212");
    }
    return (size >= 10 ** (digits - 1) ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(digits))).replaceAll("-", "\u2212");
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
  const player = data.live ? livePlayer({ data, make, svg, number, say, dark, drawn, opened }) : null;
  /* Lines that repeat others: the list in which they are hidden until somebody asks. */
  const folded = (list, fold, place) => {
    if (place > fold.from) return list.lastElementChild.querySelector("ol");
    const inside = make("ol", { class: "lines" }), summary = make("summary", {}, "The same for ");
    fold.of.forEach((of, k) => summary.append(k ? ", " : "", typeset(of)));
    summary.append(make("span", { class: "shape" }, fold.to - fold.from + " lines"));
    list.append(make("li", { class: "fold" }, make("details", {}, summary, inside)));
    return inside;
  };
  const show = (name, open = []) => {
    const notation = data.notations.find((n) => n.name === name);
    $("notation-says").innerHTML = notation.says;
    drawn.clear();
    opened.begin(notation);
    player?.begin(notation);
    const all = document.createDocumentFragment();
    for (const [section, heading] of Object.entries(headings)) {
      const lines = notation.lines.filter((line) => line.section === section);
      if (!lines.length) continue;
      all.append(make("h3", { id: "part-" + section }, heading), make("p", { class: "says" }, data.glosses[section]));
      const list = make("ol", { class: "lines", "aria-labelledby": "part-" + section });
      for (const line of lines) {
        const formula = make("span", { class: "formula" });
        if (notation.code) formula.append(make("code", {}, line.text));
        else formula.innerHTML = line.mathml;
        const shape = make("span", { class: "shape" }, line.shape);
        const item = make("li");
        if (line.result) {
          const id = "panel-" + section + "-" + lines.indexOf(line);
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
        const place = notation.lines.indexOf(line), fold = notation.folds.find((f) => f.from <= place && place < f.to);
        if (fold) folded(list, fold, place).append(item);
        else list.append(item);
      }
      all.append(list);
    }
    $("lines").replaceChildren(all);
  };
  const openLines = () => [...document.querySelectorAll("#lines h3")].flatMap((h) =>
    [...document.querySelector('ol[aria-labelledby="' + h.id + '"]').querySelectorAll('button.line[aria-expanded="true"]')].map((b) => h.id.slice(5) + b.dataset.target));

  readCharts({ data, make, svg, number, say });
  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.addEventListener("click", async () => {
      await opened.copy(button.dataset.copy, "command");
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1400);
    });
  });
  for (const input of document.querySelectorAll('input[name="notation"]')) {
    input.addEventListener("change", () => show(input.value, openLines()));
  }
  show(document.querySelector('input[name="notation"]:checked').value);
  globalThis.report = { player }; // for those who look with the console
})();
