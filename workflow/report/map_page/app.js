// The page: what is chosen, and what follows from it.

const LISTED = 50;
const LONGEST_SNIPPET = 160;
const state = { found: null, brush: null, anchor: null, kept: -1, hovered: -1, listPage: 0 };
const shown = () => (state.hovered >= 0 ? state.hovered : state.kept);
const count = (number) => number.toLocaleString("en");
const rows = Uint32Array.from({ length: page.instances }, (_, row) => row);
let data, plot, colours, lit, listed;

function make(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

function swatch(level) {
  const made = make("span", { className: "swatch", ariaHidden: "true" });
  made.style.background = css(colours.scale[level]);
  return made;
}

// ---- What passes the filters, what is drawn, what is listed.

function filter() {
  const region = element("region").value;
  const boxes = [...element("labels").querySelectorAll("input")];
  const wanted = boxes.map((box) => box.checked);
  const inRegion = {
    all: () => true,
    ambiguous: (bits) => bits & AMBIGUOUS,
    hard: (bits) => bits & HARD,
    easy: (bits) => !bits,
  }[region];
  lit = new Uint8Array(page.instances);
  for (let row = 0; row < lit.length; row++) {
    lit[row] = wanted[data.label[row]] && inRegion(data.regions[row]) && (!state.found || state.found[row]) ? 1 : 0;
  }
  if (state.kept >= 0 && !lit[state.kept]) state.kept = -1;
  state.hovered = -1;
  redraw();
  select();
  tell();
}

function redraw() {
  colours = plot.draw(lit);
  plot.mark(state.brush, shown());
  const levels = Array.from({ length: data.levels }, (_, level) => {
    const text = data.exact ? `${level} of ${page.epochs}` : level ? `up to ${20 * level} %` : "0 %";
    return make("span", {}, swatch(level), text);
  });
  element("key").replaceChildren(make("span", {}, "correct in epochs:"), ...levels);
}

/** List the instances that pass the filters and lie in the rectangle, if there is one; most ambiguous first. */
function select() {
  const { brush } = state;
  listed = rows.filter((row) => lit[row] && (!brush || within(brush, data.x[row], data.y[row])));
  state.listPage = 0;
  element("zoom").disabled = !brush;
  element("whole").disabled = plot.view === WHOLE;
  element("export").disabled = !listed.length;
  list();
}

async function list() {
  const first = state.listPage * LISTED;
  const seen = [...listed.subarray(first, first + LISTED)];
  const passing = state.brush ? "selected" : listed.length < page.instances ? "pass the filters" : "in all";
  const range = listed.length ? ` Listed: ${count(first + 1)}–${count(first + seen.length)}, most ambiguous first.` : "";
  element("count").textContent = `${count(listed.length)} of ${count(page.instances)} ${passing}.${range}`;
  element("previous").disabled = !state.listPage;
  element("next").disabled = first + LISTED >= listed.length;
  const now = listed;
  const [uids, texts] = await Promise.all([readUids(), Promise.all(seen.map(readTexts))]);
  if (now !== listed || first !== state.listPage * LISTED) return;
  const items = seen.map((row, place) => {
    const snippet = (texts[place][0] ?? "").slice(0, LONGEST_SNIPPET);
    const button = make(
      "button",
      { type: "button", value: row },
      swatch(data.level[row]),
      make("span", { className: "one", dir: "auto" }, uids[row]),
      make("span", { className: "one label", dir: "auto" }, page.labels[data.label[row]]),
      make("span", { className: "one snippet", dir: "auto" }, snippet),
    );
    return make("li", {}, button);
  });
  element("rows").replaceChildren(...items);
  element("rows").scrollTop = 0;
  markListed();
}

function markListed() {
  for (const button of element("rows").querySelectorAll("button")) {
    if (+button.value === state.kept) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

// ---- One instance.

function keep(row) {
  state.kept = row;
  state.hovered = -1;
  element("details").ariaLive = "polite";
  tell();
  markListed();
}

async function tell() {
  const row = shown();
  plot.mark(state.brush, row);
  if (row < 0) {
    element("details").replaceChildren(make("p", { className: "quiet" }, "None chosen."));
    return;
  }
  const [uids, texts, curve, mark] = await Promise.all([readUids(), readTexts(row), readCurve(row), readMark(row)]);
  if (row !== shown()) return;
  const regions = [
    ...(data.regions[row] & AMBIGUOUS ? ["ambiguous"] : []),
    ...(data.regions[row] & HARD ? ["hard-to-learn"] : []),
  ];
  const parts = texts.flatMap((text, column) => [
    make("h3", { className: "quiet", dir: "auto" }, page.text[column]),
    text === null
      ? make("p", { className: "text quiet" }, "This page does not hold its text.")
      : make("p", { className: "text", dir: "auto", tabIndex: 0 }, ...(column === page.marked ? marked(text, mark) : [text])),
  ]);
  const facts = Object.entries({
    "gold label": page.labels[data.label[row]],
    uid: uids[row],
    confidence: data.y[row].toFixed(3),
    variability: data.x[row].toFixed(3),
    correct: `${data.correct[row]} of ${page.epochs} epochs`,
    region: regions.join(", ") || "easy",
  }).flatMap(([name, value]) => [make("dt", {}, name), make("dd", { dir: "auto" }, value)]);
  element("details").replaceChildren(...parts, make("dl", {}, ...facts), drawCurve(curve));
  // Of a long text, what is marked is in sight.
  for (const { parentNode, offsetTop } of element("details").querySelectorAll("mark")) {
    parentNode.scrollTop = offsetTop - parentNode.offsetTop - parentNode.clientHeight / 2;
  }
}

/** A text with a part of it marked: `from` and `to` count code points, as Python does. */
function marked(text, [from, to]) {
  if (from === to) return [text];
  const letters = [...text];
  const part = (...ends) => letters.slice(...ends).join("");
  return [part(0, from), make("mark", {}, part(from, to)), part(to)];
}

/** p_true over epochs as a small figure. */
function drawCurve(curve) {
  const width = 340, height = 130, left = 30, right = 10, top = 22, bottom = 26;
  const x = (epoch) => left + (epoch / Math.max(1, curve.length - 1)) * (width - left - right);
  const y = (value) => top + (1 - value) * (height - top - bottom);
  const values = curve.map((value) => value.toFixed(2)).join(", ");
  const figure = document.createElementNS(SVG, "svg");
  figure.setAttribute("viewBox", `0 0 ${width} ${height}`);
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", `Probability of the true class by epoch: ${values}`);
  shape(figure, "text", { class: "title", x: 0, y: 12 }, "probability of the true class, by epoch");
  for (const value of [0, 0.5, 1]) {
    shape(figure, "path", { class: "axis", d: `M${left} ${y(value)}H${width - right}` });
    shape(figure, "text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value);
  }
  for (const epoch of ticks(1, curve.length, 8).filter(Number.isInteger)) {
    shape(figure, "text", { x: x(epoch - 1), y: height - 8, "text-anchor": "middle" }, epoch);
  }
  shape(figure, "polyline", { class: "curve", points: curve.map((value, at) => `${x(at)},${y(value)}`).join(" ") });
  if (curve.length <= 40) {
    curve.forEach((value, at) => shape(figure, "circle", { class: "dot", cx: x(at), cy: y(value), r: 3 }));
  }
  return figure;
}

// ---- Pointer, keys, controls.

function place(event) {
  const box = plot.holder.getBoundingClientRect();
  return [event.clientX - box.left - MARGIN.left, event.clientY - box.top - MARGIN.top];
}

const rectangle = (x0, y0, x1, y1) => ({
  left: Math.min(x0, x1), right: Math.max(x0, x1), bottom: Math.min(y0, y1), top: Math.max(y0, y1),
});

/** A rectangle with room for something to see. */
const widened = ({ left, right, bottom, top }) => ({
  left: Math.min(left, right - 0.002), right: Math.max(right, left + 0.002),
  bottom: Math.min(bottom, top - 0.004), top: Math.max(top, bottom + 0.004),
});

function followPointer() {
  const { holder } = plot;
  let start = null, dragged = false;
  holder.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    [start, dragged, state.anchor] = [place(event), false, null];
    holder.setPointerCapture(event.pointerId);
  });
  holder.addEventListener("pointermove", (event) => {
    const [px, py] = place(event);
    if (start && (dragged || Math.hypot(px - start[0], py - start[1]) > 4)) {
      dragged = true;
      const corners = [start, [px, py]].map(([x, y]) => [plot.fromX(x), plot.fromY(y)]);
      state.brush = rectangle(...corners[0], ...corners[1]);
      plot.mark(state.brush, state.kept);
    } else if (!start) {
      hover(plot.nearest(px, py, lit));
    }
  });
  holder.addEventListener("pointerup", (event) => {
    if (!start) return;
    if (dragged) select();
    else keep(plot.nearest(...place(event), lit));
    start = null;
  });
  holder.addEventListener("pointercancel", () => {
    start = null;
    state.brush = null;
    select();
    tell();
  });
  holder.addEventListener("pointerleave", () => hover(-1));
}

function hover(row) {
  if (row === state.hovered) return;
  state.hovered = row;
  // Not read out: a pointer passes over many instances.
  element("details").ariaLive = "off";
  tell();
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function followKeys() {
  plot.holder.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const from = state.kept;
    const next = from < 0 ? (listed.find((row) => plot.shows(row)) ?? -1) : plot.beside(from, ...arrow, lit);
    if (next < 0) return;
    if (event.shiftKey && from >= 0) {
      state.anchor ??= from;
      state.brush = rectangle(data.x[state.anchor], data.y[state.anchor], data.x[next], data.y[next]);
      select();
    } else {
      state.anchor = null;
    }
    keep(next);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input[type=search], input[type=text], select");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      element("query").focus();
    } else if (event.key === "Escape") {
      clear();
    }
  });
}

/** Give up the rectangle and the kept instance; where there is neither, the search and the filters. */
function clear() {
  if (state.brush || state.kept >= 0) {
    Object.assign(state, { brush: null, anchor: null });
    keep(-1);
    select();
  } else {
    element("filters").reset();
    state.found = null;
    filter();
  }
}

let searches = 0;
async function find() {
  const query = element("query").value.trim();
  const number = ++searches;
  const abandoned = () => number !== searches;
  const progress = (share) => (element("count").textContent = `Searching … ${Math.round(100 * share)} %`);
  const found = query ? await search(query, abandoned, progress) : null;
  if (abandoned()) return;
  state.found = found;
  filter();
}

const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;

async function exportUids() {
  const uids = await readUids();
  const lines = Array.from(listed, (row) =>
    [quoted(uids[row]), quoted(page.labels[data.label[row]]), data.x[row].toFixed(4), data.y[row].toFixed(4)].join(),
  );
  download("uids.csv", ["uid,label,variability,confidence", ...lines, ""]);
}

function download(name, lines) {
  const file = new Blob([lines.join("\n")], { type: "text/csv" });
  const link = make("a", { href: URL.createObjectURL(file), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const dark = matchMedia("(prefers-color-scheme: dark)");

function wear(theme) {
  document.documentElement.dataset.theme = theme;
  element("theme").textContent = theme === "dark" ? "Light" : "Dark";
  element("theme").ariaLabel = `Switch to ${theme === "dark" ? "light" : "dark"} colours`;
  if (plot) {
    redraw();
    list();
  }
}

function followControls() {
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  let waiting;
  element("query").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(find, 200);
  });
  element("region").addEventListener("change", filter);
  element("labels").addEventListener("change", filter);
  element("export").addEventListener("click", exportUids);
  element("previous").addEventListener("click", () => [state.listPage--, list()]);
  element("next").addEventListener("click", () => [state.listPage++, list()]);
  element("rows").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) keep(+button.value);
  });
  const look = (view) => {
    plot.view = view;
    state.brush = null;
    redraw();
    select();
  };
  element("zoom").addEventListener("click", () => look(widened(state.brush)));
  element("whole").addEventListener("click", () => look(WHOLE));
  new ResizeObserver(redraw).observe(plot.holder);
}

function describe() {
  element("plot").ariaLabel =
    `Data map of ${count(page.instances)} training instances: variability to the right, confidence upwards.`;
  const boxes = page.labels.map((name) =>
    make("label", {}, make("input", { type: "checkbox", defaultChecked: true }), make("bdi", {}, name)),
  );
  element("labels").replaceChildren(...boxes);
  if (page.texts < page.instances) {
    element("notice").textContent =
      `Texts of ${count(page.texts)} of ${count(page.instances)} instances are in this page, ` +
      "those whose uids hash lowest; search sees these, and the uids of all.";
    element("notice").hidden = false;
  }
}

async function start() {
  if (!window.DecompressionStream) throw new Error("this browser is older than 2023 and cannot unpack the data");
  data = await readInstances();
  describe();
  plot = new Plot(element("plot"), data);
  filter();
  followPointer();
  followKeys();
  followControls();
  await prepareReview();
  followReview();
}

wear(dark.matches ? "dark" : "light");
element("theme").addEventListener("click", () => {
  wear(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
});
dark.addEventListener("change", (event) => wear(event.matches ? "dark" : "light"));
start().catch((error) => {
  element("notice").textContent = `The data map cannot be shown: ${error.message}.`;
  element("notice").hidden = false;
});
