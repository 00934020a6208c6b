"use strict";
/* Opened equations: the arrays of a line as pictures, in the line's own order, with its operators between them.
   A symbol that is chosen shows where it is made and where it is used. */
const openedEquations = ({ data, make, typeset, number, say, dark, drawn }) => {
  let notation, lines;
  let live = null; // (name, after the step or before) -> its values, where the page computes them
  const paints = new Set();
  const paintAll = () => paints.forEach((paint) => paint());
  const painted = (paint) => { paint(); paints.add(paint); };

  /* --- numbers --- */
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
  const stored = (array) => {
    array.bytes ??= Uint8Array.from(atob(array.data), (c) => c.charCodeAt(0));
    const unit = (array.high - array.low) / 255;
    return { ...array, value: (k) => { const v = array.low + array.bytes[k] * unit; return Math.abs(v) < unit / 2 ? 0 : v; }, byte: (k) => array.bytes[k] };
  };
  const living = (shape, values) => {
    if (typeof values === "number") values = [values];
    const rows = shape.length === 2 ? shape[0] : 1, columns = shape.length ? shape[shape.length - 1] : 1;
    const every = [Math.ceil(rows / 256), Math.ceil(columns / 256)];
    let min = Infinity, max = -Infinity, sum = 0, zeros = 0;
    for (const v of values) { if (v < min) min = v; if (v > max) max = v; sum += v; if (v === 0) zeros++; }
    const sizes = Float64Array.from(values, Math.abs).sort();
    const size = sizes[Math.floor((sizes.length - 1) * 0.995)] || sizes[sizes.length - 1];
    const low = min < 0 ? -size : min > 0.5 * size ? min : 0;
    const high = size > low ? size : low + 1;
    const height = Math.ceil(rows / every[0]), width = Math.ceil(columns / every[1]);
    const value = (k) => values[Math.floor(k / width) * every[0] * columns + (k % width) * every[1]];
    const byte = (k) => { const part = (value(k) - low) / (high - low); return part >= 1 ? 255 : part > 0 ? Math.round(255 * part) : 0; };
    return { shape, rows: height, columns: width, every, min, max, mean: sum / values.length, zeros: zeros / values.length, low, high, value, byte };
  };
  const numbersOf = (shown) => {
    const about = notation.symbols[shown.of];
    if (!live) return stored(data.arrays[(shown.after ? about.after : about.array) ?? about.after]);
    const values = live(shown.of, Boolean(shown.after));
    const known = computed.get(values) ?? living(about.shape, values);
    if (typeof values !== "number") computed.set(values, known);
    return known;
  };
  const computed = new WeakMap();
  /* A vector lies down or stands; a matrix may be transposed. */
  const upright = (shown, shape) => {
    if (shape.length === 2) return Boolean(shown.flipped);
    return shape.length === 1 && Boolean(notation.symbols[shown.of].samples) !== Boolean(shown.flipped);
  };
  const shapeOf = (shown, shape) => {
    const sides = shape.length === 2 && shown.flipped ? [...shape].reverse() : shape;
    return sides.length === 0 ? "a number" : sides.length === 1 ? "(" + sides[0] + ",)" : "(" + sides.join(", ") + ")";
  };
  const ordinal = (n) => "every " + (n === 2 ? "2nd" : n === 3 ? "3rd" : n + "th") + " ";

  /* --- one array: equal sizes have equal edges, so that inner sizes are seen to match --- */
  const edge = (n) => Math.round(Math.max(14, Math.min(innerWidth < 640 ? 130 : 220, (innerWidth < 640 ? 13 : 16) * Math.sqrt(n))));

  const chip = (name, mathml) => {
    const button = make("button", { type: "button", class: "symbol", "data-symbol": name, title: "Where " + name + " is made and used" });
    button.append(typeset(mathml ?? notation.symbols[name].mathml));
    return button;
  };

  const array = (shown, panel, result) => {
    const figure = make("figure", { class: "array" + (result ? " result" : "") });
    const caption = make("figcaption", {}, chip(shown.of, shown.math));
    const size = make("span", { class: "sizes" });
    caption.append(size);
    if (result) caption.append(make("span", { class: "tag" }, shown.after ? "after" : "result"));
    const first = numbersOf(shown);
    if (first.shape.length === 0) {
      const value = make("output", { class: "value" });
      figure.append(make("div", { class: "stage" }, value), caption);
      painted(() => { value.textContent = number(numbersOf(shown).mean); });
      return figure;
    }
    const turned = upright(shown, first.shape);
    const [rows, columns] = turned ? [first.columns, first.rows] : [first.rows, first.columns];
    const full = first.shape.length === 2 ? first.shape : [1, first.shape[0]];
    const [tall, wide] = (turned ? [full[1], full[0]] : full).map(edge);
    const canvas = make("canvas", { width: columns, height: rows, role: "img", tabindex: "0" });
    canvas.style.width = wide + "px";
    canvas.style.height = tall + "px";
    const cross = make("i", { class: "cross" });
    cross.hidden = true;
    const stage = make("div", { class: "stage" }, make("div", { class: "frame" }, canvas, cross));
    panel.tallest = Math.max(panel.tallest ?? 0, tall);
    const place = (i, j) => (turned ? j * first.columns + i : i * first.columns + j);
    painted(() => {
      const numbers = numbersOf(shown);
      const table = ramps[numbers.low < 0 ? "signed" : "amounts"][dark() ? 1 : 0];
      const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
      for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
        const k = 3 * numbers.byte(place(i, j)), p = 4 * (i * columns + j);
        image.data[p] = table[k]; image.data[p + 1] = table[k + 1]; image.data[p + 2] = table[k + 2]; image.data[p + 3] = 255;
      }
      context.putImageData(image, 0, 0);
      const said = "min " + number(numbers.min) + ", max " + number(numbers.max) + ", mean " + number(numbers.mean) + ", zeros " + +(100 * numbers.zeros).toFixed(1) + " %";
      canvas.setAttribute("aria-label", shown.of + " " + shapeOf(shown, numbers.shape) + ": " + said);
    });
    size.textContent = shapeOf(shown, first.shape);
    const band = (i, j) => { // a row, a column, or both: one cell
      cross.hidden = false;
      cross.style.top = i === null ? "0px" : (100 * i) / rows + "%";
      cross.style.height = i === null ? "100%" : 100 / rows + "%";
      cross.style.left = j === null ? "0px" : (100 * j) / columns + "%";
      cross.style.width = j === null ? "100%" : 100 / columns + "%";
    };
    const [every, across] = turned ? [first.every[1], first.every[0]] : first.every;
    const read = (i, j) => {
      const numbers = numbersOf(shown), k = place(i, j), byte = numbers.byte(k), value = numbers.value(k);
      const beyond = !live && ((byte === 255 && numbers.max > numbers.high) || (byte === 0 && numbers.min < numbers.low));
      const at = numbers.shape.length === 1 ? [Math.max(i * every, j * across)] : [i * every, j * across];
      const axis = data.axes?.[shown.of]; // that of the network's inputs, whose columns have names
      if (axis !== undefined && at.length === 2) at[turned ? 1 - axis : axis] = data.features[at[turned ? 1 - axis : axis]];
      const where = at.join(", ");
      panel.reading.replaceChildren(typeset(shown.math ?? notation.symbols[shown.of].mathml), "[" + where + "]  " + (beyond ? "beyond " : live ? "= " : "≈ ") + number(value));
    };
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const i = Math.min(rows - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * rows)));
      const j = Math.min(columns - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * columns)));
      read(i, j);
      band(i, j);
      if (result) panel.follow?.(i, j);
    });
    const leave = () => {
      panel.reading.textContent = "";
      panel.querySelectorAll(".cross").forEach((c) => { c.hidden = true; });
    };
    canvas.addEventListener("pointerleave", leave);
    canvas.addEventListener("blur", leave);
    let at = [0, 0];
    canvas.addEventListener("keydown", (event) => { // cell by cell
      const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [-rows, -columns], End: [rows, columns] }[event.key];
      if (!by) return;
      event.preventDefault();
      at = [Math.min(rows - 1, Math.max(0, at[0] + by[0])), Math.min(columns - 1, Math.max(0, at[1] + by[1]))];
      read(...at);
      band(...at);
      if (result) panel.follow?.(...at);
      say(panel.reading.textContent);
    });
    figure.append(stage, caption);
    Object.assign(figure, { band, rows, columns });
    return figure;
  };

  /* --- the picture of a line --- */
  const sign = (text) => make("span", { class: "stage sign", "aria-hidden": "true" }, text);
  const picture = (node, panel, after) => {
    if (typeof node === "string") return [sign(node)];
    if (node.of && !notation.symbols[node.of]) return [sign(node.of)];
    if (node.of) return [array({ ...node, after: after.includes(node.of) }, panel, false)];
    if (node.row) {
      const parts = node.row.flatMap((one) => picture(one, panel, after));
      parts.forEach((part, k) => { // C[i, j] is row i of A times column j of B
        const [a, b] = [parts[k - 1], parts[k + 1]];
        if (part.textContent === "×" && a?.band && b?.band && a.columns === b.rows) panel.factors ??= [a, b];
      });
      return parts;
    }
    if (node.in) return [sign(node.in[0]), ...picture(node.in[1], panel, after), sign(node.in[2])];
    if (node.root) return [sign("√("), ...picture(node.root, panel, after), sign(")")];
    if (node.over) {
      const [top, bottom] = node.over.map((one) => make("div", { class: "row" }, ...picture(one, panel, after)));
      return [make("div", { class: "over" }, top, bottom)];
    }
    const maths = make("span", { class: "stage sign" + (node.script ? " raised" : "") });
    maths.append(typeset(node.math));
    return node.script ? [...picture(node.script, panel, after), maths] : [maths];
  };
  const names = (node) => (typeof node === "string" ? [] : node.of ? [node] : (node.row ?? node.in ?? node.over ?? [node.root ?? node.script ?? ""]).flatMap(names));

  /* The numbers behind the colours, a row for each array. */
  const table = (shown) => {
    const head = ["", "shape", "min", "max", "mean", "zeros"].map((what, k) => make("th", { scope: "col", class: k > 1 ? "number" : "" }, what));
    const body = make("tbody");
    for (const one of shown) {
      if (numbersOf(one).shape.length === 0) continue;
      const name = make("th", { scope: "row" });
      name.append(typeset(one.math ?? notation.symbols[one.of].mathml));
      if (!notation.code) name.append(" ", make("code", {}, one.of));
      if (one.after) name.append(" after");
      const cells = ["min", "max", "mean", "zeros"].map(() => make("td", { class: "number" }));
      const bar = make("i"), ends = [make("span"), make("span")];
      const kept = numbersOf(one).every.map((n, k) => (n > 1 ? ordinal(n) + ["row", "column"][one.flipped ? 1 - k : k] : "")).filter(Boolean);
      const note = kept.length ? make("div", { class: "kept" }, kept.join(", ") + " is shown") : "";
      body.append(make("tr", {}, name, make("td", {}, shapeOf(one, numbersOf(one).shape), note), ...cells, make("td", {}, make("div", { class: "bar" }, ends[0], bar, ends[1]))));
      painted(() => {
        const numbers = numbersOf(one);
        ["min", "max", "mean"].forEach((what, k) => { cells[k].textContent = number(numbers[what], 3); });
        cells[3].textContent = +(100 * numbers.zeros).toFixed(1) + " %";
        ends[0].textContent = number(numbers.low, 3);
        ends[1].textContent = number(numbers.high, 3);
        const colours = ramps[numbers.low < 0 ? "signed" : "amounts"][dark() ? 1 : 0];
        bar.style.background = "linear-gradient(90deg," + [0, 64, 128, 191, 255].map((k) => "rgb(" + [...colours.slice(3 * k, 3 * k + 3)].join(",") + ")").join(",") + ")";
      });
    }
    if (!body.children.length) return "";
    const all = make("table", {}, make("thead", {}, make("tr", {}, ...head, make("th", { scope: "col" }, "colours"))), body);
    return make("div", { class: "scroll readings", tabindex: "0", role: "region", "aria-label": "The numbers of the arrays" }, all);
  };

  /* --- where a symbol is made and used --- */
  const light = (name) => {
    document.querySelectorAll("#lines .lit").forEach((e) => e.classList.remove("lit"));
    if (name) document.querySelectorAll('#lines [data-symbol="' + CSS.escape(name) + '"]').forEach((e) => e.classList.add("lit"));
  };
  const symbolAt = (event) => event.target.closest?.("#lines [data-symbol]")?.dataset.symbol;
  document.addEventListener("pointerover", (event) => light(symbolAt(event)));
  document.addEventListener("focusin", (event) => light(symbolAt(event)));
  const goTo = (target) => {
    const button = document.querySelector('#lines button.line[data-target="' + CSS.escape(target) + '"]');
    if (!button) return;
    for (let e = button.closest("details"); e; e = e.parentElement.closest("details")) e.open = true;
    if (button.getAttribute("aria-expanded") !== "true") button.click();
    for (let e = button.closest("details"); e; e = e.parentElement.closest("details")) e.open = true;
    button.scrollIntoView({ block: "center" });
    button.focus();
  };
  const link = (line) => {
    const button = make("button", { type: "button", class: "quiet place" });
    button.append(typeset(notation.symbols[line.result.of].mathml));
    button.addEventListener("click", () => goTo(line.result.of));
    return button;
  };
  const uses = (name) => {
    const made = lines.filter((line) => line.targets?.at(-1) === name), used = lines.filter((line) => line.reads?.includes(name));
    const box = make("div", { class: "uses" });
    const first = made[0];
    const origin = !first ? (lines.some((line) => line.targets?.includes(name)) ? "is written in place" : "is given") : first.section === "update" ? "is kept from step to step, and overwritten here:" : "is made here:";
    box.append(chip(name), " ", origin, ...made.slice(0, 1).map(link));
    if (used.length) box.append(make("span", {}, " It is used in"), ...used.map(link));
    else box.append(make("span", {}, " Nothing else uses it."));
    return box;
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#lines .panel button.symbol");
    if (!button) return;
    const place = button.closest(".panel").querySelector(".chosen");
    place.replaceChildren(uses(button.dataset.symbol));
    say(place.textContent);
  });

  /* --- a panel --- */
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
  const fill = (panel, line) => {
    panel.append(typeset(line.reason, "p", "why"));
    panel.reading = make("p", { class: "reading" });
    const after = line.after ?? [];
    const row = make("div", { class: "picture row" });
    const parts = line.picture ? picture(line.picture, panel, after) : [];
    const whole = array(line.result, panel, true);
    row.append(...parts, make("div", { class: "equals" }, ...(line.picture ? [sign(line.result.after ? "→" : "=")] : []), whole));
    row.style.setProperty("--tall", Math.max(32, panel.tallest ?? 0) + "px");
    panel.follow = (i, j) => {
      const [a, b] = panel.factors ?? [];
      if (!a || a.rows !== whole.rows || b.columns !== whole.columns) return;
      a.band(i, null);
      b.band(null, j);
    };
    const shown = line.picture ? names(line.picture).filter((one) => notation.symbols[one.of]).map((one) => ({ ...one, after: after.includes(one.of) })) : [];
    const different = new Map([...shown, line.result].map((one) => [one.of + Boolean(one.after) + Boolean(one.flipped), one]));
    panel.append(row, panel.reading, make("div", { class: "chosen", "aria-live": "polite" }), table([...different.values()]));
    const buttons = make("div", { class: "buttons" });
    buttons.append(notation.code ? copier("source", line.text) : copier("LaTeX", line.latex));
    if (!notation.code) buttons.append(copier("text", line.text));
    panel.append(buttons, unfolding(line));
  };
  /* How the line is reached: the steps from the chain rule on. */
  const unfolding = (line) => {
    const steps = line.section === "backward" ? data.unfolded.steps[notation.name]?.[line.result.of] : null;
    if (!steps) return "";
    const list = make("ol", { class: "unfolded" }), details = make("details", {}, make("summary", {}, "From the chain rule to this line, in " + steps.length + " lines"));
    const remark = data.unfolded.remarks[notation.name];
    if (remark) details.append(make("p", { class: "says" }, remark[0].toUpperCase() + remark.slice(1) + "."));
    details.append(list);
    details.addEventListener("toggle", () => {
      if (list.firstChild) return;
      for (const [formula, reason] of steps) {
        const [what, why] = [make("div", { class: "formula" }), make("div", { class: "reason" })];
        what.innerHTML = data.unfolded.texts[formula];
        why.innerHTML = data.unfolded.texts[reason];
        list.append(make("li", {}, what, why));
      }
    });
    return details;
  };
  return {
    fill, copy,
    begin: (chosen) => { notation = chosen; lines = chosen.lines; paints.clear(); drawn.add(paintAll); },
    compute: (values) => { live = values; paintAll(); },
  };
};
