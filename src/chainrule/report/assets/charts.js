/* Charts that are read with the pointer and the arrow keys: the page has drawn them, this shows their values. */
const readCharts = ({ data, make, svg, number, say }) => {
  document.querySelectorAll("svg[data-chart]").forEach((picture) => {
    const about = data.curves[+picture.dataset.chart], { x, series, place } = about;
    const legend = picture.parentElement.querySelector(".legend");
    const first = x[0], last = x[x.length - 1];
    const px = (v) => (last > first ? place.left + ((v - first) / (last - first)) * (place.right - place.left) : place.left);
    const share = (v) => (place.log ? Math.log(v / place.low) / Math.log(place.high / place.low) : (v - place.low) / (place.high - place.low));
    const py = (v) => place.bottom - share(v) * (place.bottom - place.top);
    const rule = svg("line", { class: "rule", y1: place.top, y2: place.bottom });
    rule.style.display = "none";
    const dots = series.map((_, k) => {
      const dot = svg("circle", { r: 4, class: "reading s" + (k % 7) });
      dot.style.display = "none";
      return dot;
    });
    picture.append(rule, ...dots);
    const cells = [...legend.children].map((item) => item.appendChild(make("b")));
    const where = make("li");
    legend.prepend(where);
    let at = x.length - 1;
    const read = (i, aloud) => {
      at = i;
      rule.style.display = "";
      rule.setAttribute("x1", px(x[i]));
      rule.setAttribute("x2", px(x[i]));
      where.textContent = about.over + " " + x[i].toLocaleString("en");
      series.forEach((s, k) => {
        const v = s.values[i], seen = v !== null && (!place.log || v > 0);
        cells[k].textContent = v === null ? "" : " " + number(v);
        dots[k].style.display = seen ? "" : "none";
        if (seen) { dots[k].setAttribute("cx", px(x[i])); dots[k].setAttribute("cy", py(v)); }
      });
      if (aloud) say(legend.textContent);
    };
    const rest = () => {
      rule.style.display = "none";
      dots.forEach((dot) => { dot.style.display = "none"; });
      where.textContent = "";
      series.forEach((s, k) => {
        const value = [...s.values].reverse().find((v) => v !== null);
        cells[k].textContent = value === undefined ? "" : " " + number(value);
      });
    };
    rest();
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const across = ((event.clientX - box.left) / box.width) * place.width;
      const value = first + ((across - place.left) / (place.right - place.left || 1)) * (last - first);
      let best = 0;
      x.forEach((v, i) => { if (Math.abs(v - value) < Math.abs(x[best] - value)) best = i; });
      read(best, false);
    });
    picture.addEventListener("pointerleave", rest);
    picture.addEventListener("blur", rest);
    picture.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: x.length - 1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      read(Math.min(x.length - 1, Math.max(0, moves[event.key])), true);
    });
  });
};
