"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const NO_ENTRIES = "-entry", COLOURS = 12, COLUMNS = 200, PAGE = 250;
  const AREA = 190, LANE = 16, GAP = 7, LEFT = 108, NARROW_LEFT = 62, RIGHT = 12, TOP = 26, AXIS = 24;
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
  // The part that is shown, in bins; the last one is not included. Bin n begins at n * data.width nanoseconds.
  let view = { from: 0, to: data.bins };
  let drawn = null;
  const chart = byId("chart"), plot = byId("plot"), tip = byId("tip"), log = byId("log");
  const isWhole = () => view.from === 0 && view.to === data.bins;
  const startOf = (bin) => bin * data.width;

  // Columns of as many bins each, and whole pixels wide: neither counts nor edges beat against each other.
  const layout = (room) => {
    const bins = view.to - view.from, least = Math.ceil(bins / Math.max(1, Math.min(COLUMNS, Math.floor(room / 2))));
    let best = null;
    for (let each = least; each <= Math.max(least, Math.min(2 * least + 2, bins)); each++) {
      const columns = Math.ceil(bins / each), step = Math.max(1, Math.floor(room / columns));
      // The finest that nearly fills the room.
      if (!best || columns * step > best.inner) best = { each, columns, step, inner: columns * step, part: each * data.width };
      if (best.inner > 0.94 * room) break;
    }
    return best;
  };
  const columnsOf = (row, { each, columns }) => {
    const sums = new Array(columns).fill(0);
    for (let bin = view.from; bin < Math.min(view.to, row.amounts.length); bin++) {
      sums[Math.floor((bin - view.from) / each)] += row.amounts[bin];
    }
    return sums;
  };

  const draw = () => {
    const width = Math.max(300, chart.clientWidth), left = width < 560 ? NARROW_LEFT : LEFT;
    const { each, columns, step, inner, part } = layout(width - left - RIGHT);
    const grid = { each, columns }, from = startOf(view.from), span = columns * part;
    const lanes = [
      ...data.vcpus.map((one) => ({ label: "vCPU " + one.vcpu, rows: one.rows, states: true })),
      ...data.interrupts.map((row) => ({ label: row.name, rows: [row], states: false })),
    ];
    const bottom = TOP + AREA, height = bottom + AXIS + lanes.length * (LANE + GAP) + 4;
    plot.replaceChildren();
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    plot.setAttribute("height", height);
    const x = (ns) => left + ((ns - from) / span) * inner, end = left + inner;

    const shown = data.exits.filter((row) => !hidden.has(row.name))
      .map((row) => ({ name: row.name, sums: columnsOf(row, grid) }));
    const totals = new Array(columns).fill(0);
    for (const row of shown) row.sums.forEach((value, index) => { totals[index] += value; });
    const most = Math.max(1, ...totals), rise = Math.max(1, niceStep(most, 4)), top = Math.ceil(most / rise) * rise;
    const ticks = [];
    if (log.checked) for (let value = 1; value <= top; value *= 10) ticks.push(value);
    else for (let value = 0; value <= top; value += rise) ticks.push(value);
    const y = (value) => bottom - (log.checked ? Math.log1p(value) / Math.log1p(top) : value / top) * AREA;

    make(plot, "line", { x1: left, x2: end, y1: bottom, y2: bottom, class: "axis" });
    for (const value of ticks) {
      make(plot, "line", { x1: left, x2: end, y1: y(value), y2: y(value), class: value ? "grid" : "axis" });
      make(plot, "text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, count(value));
    }
    const gap = step > 4 ? 1 : 0;
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
          class: "mark " + colour.get(row.name), x: left + index * step, y: high.toFixed(2),
          width: step - gap, height: Math.max(1, low - high).toFixed(2), "data-count": value,
        });
      });
    }
    make(plot, "text", { x: left, y: 11 }, `exits in ${short(part)}${log.checked ? ", logarithmic; parts in proportion" : ""}`);

    const tick = niceStep(span, Math.max(2, inner / 110));
    for (let ns = Math.ceil(from / tick) * tick; ns <= from + span + 1e-6; ns += tick) {
      make(plot, "line", { x1: x(ns), x2: x(ns), y1: bottom, y2: bottom + 5, class: "axis" });
      const anchor = x(ns) > width - RIGHT - 30 ? "end" : "middle";
      make(plot, "text", { x: x(ns), y: bottom + 17, "text-anchor": anchor }, time(ns, tick));
    }

    const laneSums = [];
    lanes.forEach((lane, number) => {
      const at = Math.round(bottom + AXIS + GAP / 2 + number * (LANE + GAP));
      const fits = left < LEFT ? 8 : 17;
      const label = lane.label.length > fits ? lane.label.slice(0, fits - 1) + "\u2026" : lane.label;
      const name = make(plot, "text", { x: left - 8, y: at + 12, "text-anchor": "end", class: "lane" }, label);
      make(name, "title", {}, lane.label);
      make(plot, "rect", { x: left, y: at, width: inner, height: LANE, class: "lane-ground" });
      const group = make(plot, "g", { class: lane.states ? "states" : "interrupts" });
      const sums = lane.rows.map((row) => ({ name: row.name, sums: columnsOf(row, grid) }));
      laneSums.push({ ...lane, sums });
      if (lane.states) drawStates(group, sums, at, { left, step, columns, part });
      else {
        const peak = Math.max(1, ...sums[0].sums);
        sums[0].sums.forEach((value, index) => {
          if (!value) return;
          const tall = Math.max(3, Math.round(LANE * (value / peak)));
          make(group, "rect", {
            class: "irq", x: left + index * step, y: at + LANE - tall, width: step - gap, height: tall,
          });
        });
      }
    });
    const cursor = make(plot, "rect", { y: TOP, height: height - TOP - 4, width: step, class: "cursor", visibility: "hidden" });
    const selection = make(plot, "rect", { y: TOP, height: height - TOP - 4, class: "selection", visibility: "hidden" });
    drawn = { width, left, inner, columns, step, part, from, shown, laneSums, cursor, selection };
    byId("range").textContent = isWhole() ? "Shown: the whole run." : `Shown: ${time(from)} to ${time(Math.min(from + span, data.end))}.`;
  };

  // Each column is divided from top to bottom, in proportion; columns that are alike are one piece.
  const drawStates = (group, sums, at, { left, step, columns, part }) => {
    // WFI is part of Running as far as the vCPU's state goes, so it is taken off that.
    const wfi = sums.find((row) => row.name === "WFI"), others = sums.filter((row) => row.name !== "WFI");
    let open = [];
    for (let index = 0; index <= columns; index++) {
      const pieces = [];
      let low = 0;
      const add = (state, ns) => {
        const high = Math.min(LANE, Math.round((ns / part) * LANE));
        if (high > low) pieces.push({ state, low, high });
        low = Math.max(low, high);
      };
      if (index < columns) {
        const asleep = wfi ? wfi.sums[index] : 0;
        // The last column of a run ends where that does.
        const scale = part / Math.max(1, Math.min(part, data.end - startOf(view.from) - index * part));
        let sum = 0;
        for (const row of [...others].sort((one, other) => (other.name === "Running") - (one.name === "Running"))) {
          const ns = row.sums[index];
          if (!ns) continue;
          const awake = row.name === "Running" ? Math.max(0, ns - asleep) : ns;
          sum += awake;
          add(STATES.has(row.name) ? row.name : "other", sum * scale);
        }
        if (asleep) add("WFI", (sum + asleep) * scale);
      }
      const same = pieces.length === open.length
        && pieces.every((piece, i) => piece.state === open[i].state && piece.low === open[i].low && piece.high === open[i].high);
      if (same) continue;
      for (const piece of open) {
        make(group, "rect", {
          class: "state-" + piece.state, x: left + piece.since * step, y: at + LANE - piece.high,
          width: (index - piece.since) * step, height: piece.high - piece.low,
        });
      }
      open = pieces.map((piece) => ({ ...piece, since: index }));
    }
  };

  const show = (from, to) => {
    const least = Math.min(data.bins, 4), bins = Math.min(data.bins, Math.max(least, Math.round(to - from)));
    const start = Math.min(Math.max(0, Math.round(from)), data.bins - bins);
    view = { from: start, to: start + bins };
    hideCursor();
    draw();
    if (byId("in-range").checked) search();
  };
  const zoom = (factor) => {
    const at = drawn.column === undefined ? (view.from + view.to) / 2 : view.from + (drawn.column + 0.5) * (drawn.part / data.width);
    show(at - (at - view.from) * factor, at + (view.to - at) * factor);
  };
  const pan = (bins) => show(view.from + bins, view.to + bins);

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
    const grid = layout(2 * COLUMNS), totals = new Array(grid.columns).fill(0);
    for (const row of data.exits) columnsOf(row, grid).forEach((value, index) => { totals[index] += value; });
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
  byId("zoom-reset").addEventListener("click", () => show(0, data.bins));

  // A column of the timeline is pointed at by a mouse or by the arrow keys, and its events listed by a click or Enter.
  const hideCursor = () => {
    tip.hidden = true;
    if (!drawn) return;
    drawn.column = undefined;
    drawn.cursor.setAttribute("visibility", "hidden");
  };
  const pointAt = (column) => {
    drawn.column = column;
    const x = drawn.left + column * drawn.step;
    drawn.cursor.setAttribute("x", x);
    drawn.cursor.setAttribute("visibility", "visible");
    tip.replaceChildren();
    const part = drawn.part, from = drawn.from + column * part;
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
          const share = Math.min(100, (100 * row.sums[column]) / Math.min(part, Math.max(1, data.end - from))).toFixed(0);
          line("state-" + (STATES.has(row.name) ? row.name : "other"), `${lane.label} ${row.name}`, share + "\u202f%");
        }
      }
    }
    element(tip, "small", "Click or Enter lists the events.");
    tip.hidden = false;
    const box = plot.getBoundingClientRect(), middle = ((x + drawn.step / 2) / drawn.width) * box.width;
    const isRight = middle > box.width * 0.55;
    tip.style.left = isRight ? "auto" : middle + 14 + "px";
    tip.style.right = isRight ? box.width - middle + 14 + "px" : "auto";
  };
  const move = (by) => {
    const before = drawn.column === undefined ? (by > 0 ? -1 : drawn.columns) : drawn.column;
    const wanted = before + by, bins = drawn.part / data.width;
    if (wanted < 0 || wanted >= drawn.columns) {
      const over = wanted < 0 ? wanted : wanted - drawn.columns + 1;
      const target = wanted < 0 ? 0 : 1;
      pan(over * bins);
      pointAt(target ? drawn.columns - 1 : 0);
    } else pointAt(wanted);
  };
  const pick = () => {
    if (drawn.column === undefined) return;
    const from = drawn.from + drawn.column * drawn.part;
    picked = { from, to: from + drawn.part };
    search();
    byId("event-list").focus({ preventScroll: true });
    byId("events").scrollIntoView();
  };
  const keys = {
    ArrowLeft: () => move(-1), ArrowRight: () => move(1), Enter: pick, " ": pick, Escape: hideCursor,
    Home: () => { show(0, view.to - view.from); pointAt(0); },
    End: () => { show(data.bins - (view.to - view.from), data.bins); pointAt(drawn.columns - 1); },
    PageUp: () => pan((view.from - view.to) / 2), PageDown: () => pan((view.to - view.from) / 2),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(0, data.bins),
  };
  chart.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
  chart.addEventListener("blur", hideCursor);

  let dragged = null;
  const pointed = (event) => {
    const box = plot.getBoundingClientRect();
    return Math.min(Math.max(((event.clientX - box.left) / box.width) * drawn.width, drawn.left), drawn.left + drawn.inner);
  };
  const binAt = (x) => view.from + ((x - drawn.left) / drawn.step) * (drawn.part / data.width);
  plot.addEventListener("pointermove", (event) => {
    const x = pointed(event);
    if (dragged !== null) {
      drawn.selection.setAttribute("x", Math.min(x, dragged));
      drawn.selection.setAttribute("width", Math.abs(x - dragged));
      drawn.selection.setAttribute("visibility", "visible");
    }
    pointAt(Math.min(drawn.columns - 1, Math.floor((x - drawn.left) / drawn.step)));
  });
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    dragged = pointed(event);
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointerup", (event) => {
    const from = dragged, to = pointed(event);
    dragged = null;
    if (from === null) return;
    drawn.selection.setAttribute("visibility", "hidden");
    if (Math.abs(to - from) > 4) show(binAt(Math.min(from, to)), binAt(Math.max(from, to)));
    else {
      pointAt(Math.min(drawn.columns - 1, Math.floor((to - drawn.left) / drawn.step)));
      pick();
    }
  });
  plot.addEventListener("pointerleave", hideCursor);

  // Histogram -------------------------------------------------------------------------------------------------
  const drawHistogram = () => {
    const svg = byId("histogram");
    if (!svg || !data.powers.length) return;
    const width = Math.max(300, svg.parentElement.clientWidth), tall = 150, bottom = TOP + tall, height = bottom + 24;
    // What took no time stands apart from what took some.
    const zero = data.powers[0][0] < 0 ? 2 : 0, some = data.powers.filter(([power]) => power >= 0);
    const first = some.length ? some[0][0] : 0, last = some.length ? some[some.length - 1][0] : 0;
    const most = Math.max(...data.powers.map(([, value]) => value));
    const step = (width - LEFT - RIGHT) / (zero + last - first + 1);
    // Labels need room.
    const apart = Math.ceil(44 / step);
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
      if ((power - first) % apart && power >= 0) continue;
      if (value / top < 0.9) make(svg, "text", { x: x + step / 2, y: bottom - high - 4, "text-anchor": "middle" }, count(value));
      make(svg, "text", { x: x + (power < 0 ? step / 2 : 0), y: bottom + 16, "text-anchor": "middle" }, short(low));
    }
    make(svg, "text", { x: LEFT, y: 11 }, "exits, by powers of two");
  };

  // Events ----------------------------------------------------------------------------------------------------
  // [exit, time, vCPU, type, name, place, details]
  const events = data.leftOut ? [...data.first, null, ...data.last] : [...data.first, ...data.last];
  const texts = events.map((each) => (each ? each.slice(3).join(" ").toLowerCase() : ""));
  const rows = byId("event-rows"), more = byId("more"), earlier = byId("earlier");
  const kind = byId("kind"), query = byId("query"), unpick = byId("unpick");
  // Of the events that are looked for, those from `first` to `last` are in the table.
  let matches = [], first = 0, last = 0, picked = null;
  for (const name of [...new Set(events.filter(Boolean).map((each) => each[3]))].sort()) element(kind, "option", name).value = name;
  if (events.some((each) => each && each[3] === "entry") && events.some((each) => each && each[3] === "exit")) {
    element(kind, "option", "all but entries").value = NO_ENTRIES;
    kind.value = NO_ENTRIES;
  }
  const seconds = (ns) => (ns / 1e9).toFixed(9) + "\u202fs";
  const noteRow = (text) => {
    const row = document.createElement("tr");
    row.className = "gap";
    element(row, "td", text).colSpan = 6;
    return row;
  };
  // The rows of an event, and of those behind it that differ from it only in number and time.
  const rowsOf = ({ index, more: others }) => {
    const each = events[index], row = document.createElement("tr");
    if (!each) return [noteRow(`\u2026 ${count(data.leftOut)} events are left out`)];
    const [seq, ns, vcpu, type, name, place, details] = each;
    element(row, "td", count(seq), "number");
    element(row, "td", (ns / 1e9).toFixed(9), "number");
    element(row, "td", vcpu);
    element(row, "td", name ? (type === "exit" ? name : `${type} ${name}`) : type);
    element(row, "td", place);
    element(row, "td", details);
    return others ? [row, noteRow(`the same ${others === 1 ? "once" : count(others) + " times"} more`)] : [row];
  };
  const list = (from, to) => {
    if (from < first) rows.prepend(...matches.slice(from, first).flatMap(rowsOf));
    if (to > last) rows.append(...matches.slice(last, to).flatMap(rowsOf));
    first = Math.min(first, from);
    last = Math.max(last, to);
    earlier.hidden = first <= 0;
    more.hidden = last >= matches.length;
  };
  const isSame = (one, other) => one && one.every((value, place) => place < 2 || value === other[place]);
  // Whether what was left out of the page may have been in a part of the run.
  const isIncomplete = (from, to) => data.leftOut > 0 && to > data.first[data.first.length - 1][1] && from <= data.last[0][1];
  const search = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean), type = kind.value;
    const ranged = byId("in-range").checked;
    const plain = !words.length && (!type || type === NO_ENTRIES) && !ranged && !picked;
    const range = picked || (ranged ? { from: startOf(view.from), to: startOf(view.to) } : { from: 0, to: Infinity });
    let found = 0;
    matches = [];
    events.forEach((each, index) => {
      if (!each) {
        if (plain) matches.push({ index, more: 0 });
        return;
      }
      if (type === NO_ENTRIES ? each[3] === "entry" : type && each[3] !== type) return;
      if (each[1] < range.from || each[1] >= range.to) return;
      if (!words.every((word) => texts[index].includes(word))) return;
      found++;
      const before = matches[matches.length - 1];
      if (before && isSame(events[before.index], each)) before.more++;
      else matches.push({ index, more: 0 });
    });
    const lacks = range.to < Infinity && isIncomplete(range.from, range.to)
      ? `; the page leaves out others, the trace has them (${seconds(range.from)} to ${seconds(range.to)})` : "";
    byId("found").textContent = plain ? "" : `${count(found)} found${lacks}`;
    unpick.hidden = !picked;
    if (picked) unpick.textContent = `${time(picked.from)} \u2013 ${time(picked.to)} \u00d7`;
    rows.replaceChildren();
    // A run that did not end well is of interest where it ended.
    first = last = plain && data.died ? Math.max(0, matches.length - PAGE) : 0;
    list(first, Math.min(matches.length, first + PAGE));
    byId("event-list").scrollTop = plain && data.died ? byId("event-list").scrollHeight : 0;
  };
  more.addEventListener("click", () => list(first, Math.min(matches.length, last + PAGE)));
  earlier.addEventListener("click", () => {
    const box = byId("event-list"), below = box.scrollHeight - box.scrollTop;
    list(Math.max(0, first - PAGE), last);
    box.scrollTop = box.scrollHeight - below;
  });
  unpick.addEventListener("click", () => { picked = null; search(); query.focus(); });
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
