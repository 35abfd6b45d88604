"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const NO_ENTRIES = "-entry", COLOURS = 12, COLUMNS = 200, PAGE = 250;
  const AREA = 190, LANE = 16, GAP = 7, LEFT = 108, RIGHT = 12, TOP = 26, AXIS = 24;
  const STATES = new Set(["Running", "WFI", "Blocked", "Ready"]);
  const byId = (id) => document.getElementById(id);

  const make = (parent, name, attributes, text) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const element = (parent, name, text, className) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    parent.append(node);
    return node;
  };
  const swatch = (parent, className) => {
    const icon = make(parent, "svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
    make(icon, "rect", { width: 10, height: 10, rx: 2.5, class: className });
  };
  const count = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u2009");
  const UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "\u00b5s"], [1, "ns"]];
  const unitOf = (ns) => UNITS.find(([size]) => ns >= size) || UNITS[3];
  const time = (ns, step) => {
    const [size, unit] = unitOf(Math.max(ns, step || 0));
    const digits = step ? Math.max(0, Math.ceil(-Math.log10(step / size) - 1e-9)) : size === 1 ? 0 : 3;
    return (ns / size).toFixed(Math.min(digits, 9)) + "\u202f" + unit;
  };
  const short = (ns) => {
    const [size, unit] = unitOf(ns), value = ns / size;
    return (value < 10 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)) + "\u202f" + unit;
  };
  const niceStep = (range, parts) => {
    const rough = range / parts, power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
  };

  // Timeline --------------------------------------------------------------------------------------------------
  const colour = new Map(data.exits.map((row, index) => [row.name, "fill" + Math.min(index, COLOURS - 1)]));
  const hidden = new Set();
  const whole = { from: 0, to: data.end };
  let view = { ...whole };
  let drawn = null;
  const chart = byId("chart"), plot = byId("plot"), tip = byId("tip"), log = byId("log");

  // The amounts of a row in `columns` equal parts of the view; a bin counts where its middle is.
  const columnsOf = (row, columns) => {
    const sums = new Array(columns).fill(0), span = view.to - view.from;
    const first = Math.max(0, Math.floor(view.from / data.width) - 1);
    const last = Math.min(row.amounts.length, Math.ceil(view.to / data.width) + 1);
    for (let bin = first; bin < last; bin++) {
      if (!row.amounts[bin]) continue;
      const middle = Math.min((bin + 0.5) * data.width, data.end - 1e-9);
      const column = Math.floor(((middle - view.from) / span) * columns);
      if (column >= 0 && column < columns) sums[column] += row.amounts[bin];
    }
    return sums;
  };

  const draw = () => {
    const width = Math.max(360, chart.clientWidth), inner = width - LEFT - RIGHT;
    const span = view.to - view.from;
    const columns = Math.max(1, Math.min(COLUMNS, Math.round(span / data.width)));
    const lanes = [
      ...data.vcpus.map((each) => ({ label: "vCPU " + each.vcpu, rows: each.rows, states: true })),
      ...data.interrupts.map((row) => ({ label: row.name, rows: [row], states: false })),
    ];
    const bottom = TOP + AREA, height = bottom + AXIS + lanes.length * (LANE + GAP) + 4;
    plot.replaceChildren();
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    plot.setAttribute("height", height);
    const x = (ns) => LEFT + ((ns - view.from) / span) * inner;
    const step = inner / columns;

    const shown = data.exits.filter((row) => !hidden.has(row.name))
      .map((row) => ({ name: row.name, sums: columnsOf(row, columns) }));
    const totals = new Array(columns).fill(0);
    for (const row of shown) row.sums.forEach((value, index) => { totals[index] += value; });
    const most = Math.max(1, ...totals), rise = niceStep(most, 4), top = Math.ceil(most / rise) * rise;
    const ticks = [];
    if (log.checked) for (let value = 1; value <= top; value *= 10) ticks.push(value);
    else for (let value = 0; value <= top + 1e-9; value += Math.max(rise, 1)) ticks.push(value);
    const y = (value) => bottom - (log.checked ? Math.log1p(value) / Math.log1p(top) : value / top) * AREA;

    make(plot, "line", { x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom, class: "axis" });
    for (const value of ticks) {
      make(plot, "line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: value ? "grid" : "axis" });
      make(plot, "text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, count(value));
    }
    const marks = make(plot, "g", { class: "marks" });
    const base = new Array(columns).fill(bottom);
    for (const row of shown) {
      row.sums.forEach((value, index) => {
        if (!value) return;
        // The height of a column is that of all its exits; its parts are in proportion, whatever the scale.
        const low = base[index];
        const high = low - (bottom - y(totals[index])) * (value / totals[index]);
        base[index] = high;
        make(marks, "rect", {
          class: "mark " + colour.get(row.name), x: (LEFT + index * step).toFixed(2), y: high.toFixed(2),
          width: Math.max(0.8, step - (step > 4 ? 0.8 : 0)).toFixed(2), height: Math.max(0.6, low - high).toFixed(2),
        });
      });
    }
    make(plot, "text", { x: LEFT, y: 11 }, `exits in ${short(span / columns)}${log.checked ? ", logarithmic; parts in proportion" : ""}`);

    const tick = niceStep(span, Math.max(2, inner / 110));
    for (let ns = Math.ceil(view.from / tick) * tick; ns <= view.to + 1e-6; ns += tick) {
      make(plot, "line", { x1: x(ns), x2: x(ns), y1: bottom, y2: bottom + 5, class: "axis" });
      const anchor = x(ns) > width - RIGHT - 30 ? "end" : "middle";
      make(plot, "text", { x: x(ns), y: bottom + 17, "text-anchor": anchor }, time(ns, tick));
    }

    const laneSums = [];
    lanes.forEach((lane, number) => {
      const at = bottom + AXIS + GAP / 2 + number * (LANE + GAP);
      const label = lane.label.length > 17 ? lane.label.slice(0, 16) + "\u2026" : lane.label;
      const name = make(plot, "text", { x: LEFT - 8, y: at + 12, "text-anchor": "end", class: "lane" }, label);
      make(name, "title", {}, lane.label);
      make(plot, "rect", { x: LEFT, y: at, width: inner, height: LANE, class: "lane-ground" });
      const group = make(plot, "g", { class: lane.states ? "states" : "interrupts" });
      const sums = lane.rows.map((row) => ({ name: row.name, sums: columnsOf(row, columns) }));
      laneSums.push({ ...lane, sums });
      // WFI is part of Running as far as the vCPU's state goes, so it is drawn over it.
      const order = sums.filter((row) => row.name !== "WFI");
      const wfi = sums.find((row) => row.name === "WFI");
      if (lane.states) {
        for (let index = 0; index < columns; index++) {
          let left = LEFT + index * step;
          const total = order.reduce((sum, row) => sum + row.sums[index], 0);
          for (const row of order) {
            if (!row.sums[index]) continue;
            const part = (row.sums[index] / total) * step;
            const state = STATES.has(row.name) ? row.name : "other";
            make(group, "rect", { class: "state-" + state, x: left.toFixed(2), y: at, width: (part + 0.3).toFixed(2), height: LANE });
            left += part;
          }
          const waiting = wfi ? Math.min(1, wfi.sums[index] / Math.max(span / columns, 1e-9)) : 0;
          if (waiting) {
            make(group, "rect", {
              class: "state-WFI", x: (LEFT + index * step).toFixed(2), y: (at + LANE * (1 - waiting)).toFixed(2),
              width: (step + 0.3).toFixed(2), height: (LANE * waiting).toFixed(2),
            });
          }
        }
      } else {
        const peak = Math.max(1, ...sums[0].sums);
        sums[0].sums.forEach((value, index) => {
          if (!value) return;
          const tall = Math.max(3, LANE * (value / peak));
          make(group, "rect", {
            class: "irq", x: (LEFT + index * step).toFixed(2), y: (at + LANE - tall).toFixed(2),
            width: Math.max(1, step - 0.8).toFixed(2), height: tall.toFixed(2),
          });
        });
      }
    });
    const cursor = make(plot, "line", { y1: TOP, y2: height - 4, class: "cursor", visibility: "hidden" });
    const selection = make(plot, "rect", { y: TOP, height: height - TOP - 4, class: "selection", visibility: "hidden" });
    drawn = { width, inner, columns, step, shown, laneSums, cursor, selection, span };
    const all = view.from === 0 && view.to === data.end;
    byId("range").textContent = all ? "Shown: the whole run." : `Shown: ${time(view.from)} to ${time(view.to)}.`;
  };

  const show = (from, to) => {
    const least = Math.min(data.end, Math.max(data.width * 4, 1));
    const span = Math.min(data.end, Math.max(least, to - from));
    const start = Math.min(Math.max(0, from), data.end - span);
    view = { from: start, to: start + span };
    tip.hidden = true;
    draw();
    if (byId("in-range").checked) search();
  };
  const zoom = (factor, centre) => {
    const middle = centre === undefined ? (view.from + view.to) / 2 : centre;
    show(middle - (middle - view.from) * factor, middle + (view.to - middle) * factor);
  };
  const pan = (part) => {
    const by = (view.to - view.from) * part;
    show(view.from + by, view.to + by);
  };

  const legend = byId("legend");
  for (const row of data.exits) {
    const button = element(legend, "button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    swatch(button, colour.get(row.name));
    element(button, "span", row.name);
    button.addEventListener("click", () => {
      if (!hidden.delete(row.name)) hidden.add(row.name);
      button.setAttribute("aria-pressed", String(!hidden.has(row.name)));
      draw();
    });
  }
  // One burst must not make everything else a line of one pixel.
  const skewed = () => {
    const columns = Math.max(1, Math.min(COLUMNS, Math.round(data.end / data.width)));
    const totals = new Array(columns).fill(0);
    for (const row of data.exits) columnsOf(row, columns).forEach((value, index) => { totals[index] += value; });
    const some = totals.filter(Boolean).sort((first, second) => first - second);
    return some.length > 2 && some[some.length - 1] > 50 * some[some.length >> 1];
  };
  log.checked = skewed();
  log.addEventListener("change", () => draw());
  const seen = new Set(data.vcpus.flatMap((each) => each.rows.map((row) => row.name)));
  const states = byId("states");
  for (const name of [...seen].sort()) {
    const item = element(states, "span");
    swatch(item, "state-" + (STATES.has(name) ? name : "other"));
    element(item, "span", name === "WFI" ? "in WFI" : name);
  }
  if (data.interrupts.length) {
    const item = element(states, "span");
    swatch(item, "irq");
    element(item, "span", "interrupt acknowledged");
  }
  byId("zoom-in").addEventListener("click", () => zoom(0.5));
  byId("zoom-out").addEventListener("click", () => zoom(2));
  byId("zoom-reset").addEventListener("click", () => show(0, data.end));
  const keys = {
    ArrowLeft: () => pan(-0.25), ArrowRight: () => pan(0.25), "+": () => zoom(0.5), "=": () => zoom(0.5),
    "-": () => zoom(2), 0: () => show(0, data.end),
  };
  chart.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });

  let dragged = null;
  const pointed = (event) => {
    const box = plot.getBoundingClientRect();
    return Math.min(Math.max(((event.clientX - box.left) / box.width) * drawn.width, LEFT), LEFT + drawn.inner);
  };
  const timeAt = (x) => view.from + ((x - LEFT) / drawn.inner) * (view.to - view.from);
  const hover = (event) => {
    const x = pointed(event), column = Math.min(drawn.columns - 1, Math.floor((x - LEFT) / drawn.step));
    drawn.cursor.setAttribute("x1", x);
    drawn.cursor.setAttribute("x2", x);
    drawn.cursor.setAttribute("visibility", "visible");
    if (dragged !== null) {
      drawn.selection.setAttribute("x", Math.min(x, dragged));
      drawn.selection.setAttribute("width", Math.abs(x - dragged));
      drawn.selection.setAttribute("visibility", "visible");
    }
    tip.replaceChildren();
    const part = drawn.span / drawn.columns, from = view.from + column * part;
    element(tip, "b", `${time(from)} \u2013 ${time(from + part)}`);
    const line = (className, name, value) => {
      const row = element(tip, "div");
      swatch(row, className);
      element(row, "span", name);
      element(row, "span", value);
    };
    for (const row of drawn.shown) if (row.sums[column]) line(colour.get(row.name), row.name, count(row.sums[column]));
    for (const lane of drawn.laneSums) {
      for (const row of lane.sums) {
        if (!row.sums[column]) continue;
        if (!lane.states) line("irq", lane.label, count(row.sums[column]) + "\u00d7");
        else {
          const share = Math.min(100, (100 * row.sums[column]) / part).toFixed(0);
          line("state-" + (STATES.has(row.name) ? row.name : "other"), `${lane.label} ${row.name}`, share + "\u202f%");
        }
      }
    }
    tip.hidden = false;
    const box = plot.getBoundingClientRect(), left = (x / drawn.width) * box.width;
    tip.style.left = left > box.width * 0.6 ? "auto" : left + 14 + "px";
    tip.style.right = left > box.width * 0.6 ? box.width - left + 14 + "px" : "auto";
  };
  plot.addEventListener("pointermove", hover);
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    dragged = pointed(event);
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointerup", (event) => {
    const from = dragged, to = pointed(event);
    dragged = null;
    if (from !== null && Math.abs(to - from) > 4) show(timeAt(Math.min(from, to)), timeAt(Math.max(from, to)));
    else if (drawn) drawn.selection.setAttribute("visibility", "hidden");
  });
  plot.addEventListener("pointerleave", () => {
    tip.hidden = true;
    drawn.cursor.setAttribute("visibility", "hidden");
  });
  plot.addEventListener("dblclick", () => show(0, data.end));

  // Histogram -------------------------------------------------------------------------------------------------
  const drawHistogram = () => {
    const svg = byId("histogram");
    if (!svg || !data.powers.length) return;
    const width = Math.max(360, svg.parentElement.clientWidth), tall = 150, bottom = TOP + tall, height = bottom + 24;
    // What took no time stands apart from what took some.
    const zero = data.powers[0][0] < 0 ? 2 : 0, some = data.powers.filter(([power]) => power >= 0);
    const first = some.length ? some[0][0] : 0, last = some.length ? some[some.length - 1][0] : 0;
    const most = Math.max(...data.powers.map(([, value]) => value));
    const step = (width - LEFT - RIGHT) / (zero + last - first + 1);
    const rise = niceStep(most, 3), top = Math.ceil(most / rise) * rise;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    for (let value = 0; value <= top; value += Math.max(1, rise)) {
      const y = bottom - (value / top) * tall;
      make(svg, "line", { x1: LEFT, x2: width - RIGHT, y1: y, y2: y, class: value ? "grid" : "axis" });
      make(svg, "text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, count(value));
    }
    for (const [power, value] of data.powers) {
      const x = LEFT + (power < 0 ? 0 : zero + power - first) * step, high = Math.max(1, (value / top) * tall);
      const bar = make(svg, "rect", { class: "mark fill0", x: x + 1, y: bottom - high, width: Math.max(1, step - 2), height: high });
      const low = power < 0 ? 0 : 2 ** power;
      make(bar, "title", {}, `${short(low)} to ${short(2 ** (power + 1))}: ${count(value)} exits`);
      if (value / top < 0.9) make(svg, "text", { x: x + step / 2, y: bottom - high - 4, "text-anchor": "middle" }, count(value));
      make(svg, "text", { x: x + (power < 0 ? step / 2 : 0), y: bottom + 16, "text-anchor": "middle" }, short(low));
    }
    make(svg, "text", { x: LEFT, y: 11 }, "exits, by powers of two");
  };

  // Events ----------------------------------------------------------------------------------------------------
  // [exit, time, vCPU, type, name, place, details]
  const events = data.leftOut ? [...data.first, null, ...data.last] : [...data.first, ...data.last];
  const texts = events.map((each) => (each ? each.slice(3).join(" ").toLowerCase() : ""));
  const rows = byId("event-rows"), more = byId("more"), kind = byId("kind"), query = byId("query");
  let matches = [], listed = 0;
  for (const name of [...new Set(events.filter(Boolean).map((each) => each[3]))].sort()) element(kind, "option", name).value = name;
  if (events.some((each) => each && each[3] === "entry") && events.some((each) => each && each[3] === "exit")) {
    element(kind, "option", "all but entries").value = NO_ENTRIES;
    kind.value = NO_ENTRIES;
  }
  const list = () => {
    for (const index of matches.slice(listed, listed + PAGE)) {
      const each = events[index], row = element(rows, "tr");
      if (!each) {
        row.className = "gap";
        element(row, "td", `\u2026 ${count(data.leftOut)} events are left out`).colSpan = 6;
        continue;
      }
      const [seq, ns, vcpu, type, name, place, details] = each;
      element(row, "td", count(seq), "number");
      element(row, "td", (ns / 1e9).toFixed(9), "number");
      element(row, "td", vcpu);
      element(row, "td", name ? (type === "exit" ? name : `${type} ${name}`) : type);
      element(row, "td", place);
      element(row, "td", details);
    }
    listed = Math.min(matches.length, listed + PAGE);
    more.hidden = listed >= matches.length;
  };
  const search = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean), type = kind.value;
    const ranged = byId("in-range").checked, plain = !words.length && (!type || type === NO_ENTRIES) && !ranged;
    matches = [];
    events.forEach((each, index) => {
      if (!each) {
        if (plain) matches.push(index);
        return;
      }
      if (type === NO_ENTRIES ? each[3] === "entry" : type && each[3] !== type) return;
      if (ranged && (each[1] < view.from || each[1] > view.to)) return;
      if (words.every((word) => texts[index].includes(word))) matches.push(index);
    });
    const found = matches.filter((index) => events[index]).length;
    byId("found").textContent = plain ? "" : `${count(found)} found`;
    rows.replaceChildren();
    listed = 0;
    list();
  };
  more.addEventListener("click", list);
  query.addEventListener("input", search);
  kind.addEventListener("change", search);
  byId("in-range").addEventListener("change", search);
  byId("filter").addEventListener("submit", (event) => event.preventDefault());

  // Tables ----------------------------------------------------------------------------------------------------
  const SIZES = new Map(UNITS.map(([size, unit]) => [unit, size]));
  const worth = (cell) => {
    const bar = cell.querySelector("[aria-label]");
    const words = (bar ? bar.getAttribute("aria-label") : cell.textContent).replace(/\u2009/g, "").trim();
    const match = /^([\d.]+)(?:\s*(\S+))?$/.exec(words);
    return match ? Number(match[1]) * (SIZES.get(match[2]) || 1) : words;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const sorted = [...body.rows].map((row) => [worth(row.cells[index]), row]).sort(([first], [second]) => {
          const order = typeof first === "number" && typeof second === "number"
            ? first - second : String(first).localeCompare(String(second));
          return down ? -order : order;
        });
        body.append(...sorted.map(([, row]) => row));
      });
    });
  }

  draw();
  drawHistogram();
  search();
  let queued = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(queued);
    queued = requestAnimationFrame(() => { draw(); drawHistogram(); });
  });
})();
