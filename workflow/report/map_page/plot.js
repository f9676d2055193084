// The plot: points on a canvas, axes and marks in SVG above it.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 52, right: 14, top: 30, bottom: 46 };
const PAD = 6;
const REACH = 18;
const WHOLE = { left: 0, right: WIDEST, bottom: 0, top: 1 };

function shape(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** The colours of the theme in use: the page's, those of the levels of correctness, and of what is filtered out. */
function palette(levels) {
  const style = getComputedStyle(document.documentElement);
  const stops = style.getPropertyValue("--scale").trim().split(/\s+/).map(rgb);
  const scale = Array.from({ length: levels }, (_, level) => {
    const place = (level / (levels - 1)) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(place));
    return stops[low].map((part, at) => Math.round(part + (place - low) * (stops[low + 1][at] - part)));
  });
  const named = (name) => style.getPropertyValue(name).trim();
  const [paper, grid, region, context] = ["--paper", "--grid", "--region", "--context"].map(named);
  return { scale, paper, grid, region, context: rgb(context) };
}

/** The offsets and weights (of 256) of a disc's pixels, softened at its edge. */
function disc(radius, opacity) {
  const pixels = [];
  const reach = Math.ceil(radius);
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.min(1, radius + 0.5 - Math.hypot(dx, dy));
      if (cover > 0) pixels.push([dx, dy, Math.round(256 * opacity * cover)]);
    }
  }
  return pixels;
}

class Plot {
  constructor(holder, data) {
    this.holder = holder;
    this.data = data;
    this.canvas = holder.querySelector("canvas");
    this.frame = holder.querySelector("svg");
    this.context = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.view = WHOLE;
    // The rarest level is drawn last, so that the others do not hide it.
    const { starts } = data.byLevel;
    const size = (level) => starts[level + 1] - starts[level];
    this.order = Array.from({ length: data.levels }, (_, level) => level).sort((a, b) => size(b) - size(a));
  }

  measure() {
    const box = this.holder.getBoundingClientRect();
    this.width = Math.max(50, box.width - MARGIN.left - MARGIN.right);
    this.height = Math.max(50, box.height - MARGIN.top - MARGIN.bottom);
  }

  /** Pixels from the top left corner of the axes, and back. */
  toX(x) { return PAD + ((x - this.view.left) / (this.view.right - this.view.left)) * (this.width - 2 * PAD); }
  toY(y) { return PAD + ((this.view.top - y) / (this.view.top - this.view.bottom)) * (this.height - 2 * PAD); }
  fromX(px) { return this.view.left + ((px - PAD) / (this.width - 2 * PAD)) * (this.view.right - this.view.left); }
  fromY(px) { return this.view.top - ((px - PAD) / (this.height - 2 * PAD)) * (this.view.top - this.view.bottom); }

  /** Draw all instances: those with 0 in `lit` faint and below, the others in the colours of their levels. */
  draw(lit) {
    this.measure();
    const { canvas, context, data, view } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = (canvas.width = Math.round(this.width * ratio));
    const height = (canvas.height = Math.round(this.height * ratio));
    Object.assign(canvas.style, {
      left: `${MARGIN.left}px`, top: `${MARGIN.top}px`, width: `${this.width}px`, height: `${this.height}px`,
    });
    const colours = palette(data.levels);
    context.fillStyle = colours.paper;
    context.fillRect(0, 0, width, height);
    // The ambiguous at the right, the hard-to-learn at the bottom; darker where they overlap.
    context.fillStyle = colours.region;
    context.fillRect(Math.max(0, this.toX(page.ambiguous_from)) * ratio, 0, width, height);
    context.fillRect(0, Math.max(0, this.toY(page.hard_to_learn_to)) * ratio, width, height);
    context.fillStyle = colours.grid;
    for (const x of ticks(view.left, view.right)) context.fillRect(Math.round(this.toX(x) * ratio), 0, 1, height);
    for (const y of ticks(view.bottom, view.top)) context.fillRect(0, Math.round(this.toY(y) * ratio), width, 1);

    const image = context.getImageData(0, 0, width, height);
    const pixels = image.data;
    const zoom = Math.sqrt((WIDEST / (view.right - view.left)) / (view.top - view.bottom));
    const radius = Math.min(4.5, Math.max(1, 12 * page.instances ** -0.18) * zoom ** 0.5) * ratio;
    const stamp = disc(radius, 0.7);
    const { starts, items } = data.byLevel;
    const paint = (level, wanted, [red, green, blue]) => {
      for (let place = starts[level]; place < starts[level + 1]; place++) {
        const row = items[place];
        if (lit[row] !== wanted) continue;
        const px = Math.round(this.toX(data.x[row]) * ratio);
        const py = Math.round(this.toY(data.y[row]) * ratio);
        if (px < -radius || px > width + radius || py < -radius || py > height + radius) continue;
        for (const [dx, dy, weight] of stamp) {
          const x = px + dx, y = py + dy;
          if (x < 0 || x >= width || y < 0 || y >= height) continue;
          const at = 4 * (y * width + x);
          pixels[at] += ((red - pixels[at]) * weight) >> 8;
          pixels[at + 1] += ((green - pixels[at + 1]) * weight) >> 8;
          pixels[at + 2] += ((blue - pixels[at + 2]) * weight) >> 8;
        }
      }
    };
    for (const level of this.order) paint(level, 0, colours.context);
    for (const level of this.order) paint(level, 1, colours.scale[level]);
    context.putImageData(image, 0, 0);
    this.drawFrame();
    return colours;
  }

  /** Axes and the borders of the regions. */
  drawFrame() {
    const { frame, view, width, height } = this;
    frame.replaceChildren();
    const group = shape(frame, "g", { transform: `translate(${MARGIN.left} ${MARGIN.top})` });
    shape(group, "path", { class: "axis", d: `M0.5 0V${height}H${width}` });
    for (const x of ticks(view.left, view.right, width < 400 ? 5 : 10)) {
      shape(group, "text", { x: this.toX(x), y: height + 17, "text-anchor": "middle" }, short(x));
    }
    for (const y of ticks(view.bottom, view.top)) {
      shape(group, "text", { x: -8, y: this.toY(y) + 4, "text-anchor": "end" }, short(y));
    }
    shape(group, "text", { class: "title", x: width, y: height + 37, "text-anchor": "end" }, "variability");
    const turned = `translate(${-MARGIN.left + 12} 0) rotate(-90)`;
    shape(group, "text", { class: "title", transform: turned, "text-anchor": "end" }, "confidence");

    const share = `${+(100 * page.fraction).toPrecision(4)} %`;
    const across = this.toX(page.ambiguous_from), down = this.toY(page.hard_to_learn_to);
    if (across > 0 && across < width) {
      shape(group, "path", { class: "border", d: `M${across} -6V${height}` });
      const end = across > 0.6 * width;
      const place = { class: "name", x: across, y: -12, "text-anchor": end ? "end" : "start" };
      shape(group, "text", place, end ? `ambiguous (${share}) →` : `→ ambiguous (${share})`);
    }
    if (down > 0 && down < height) {
      shape(group, "path", { class: "border", d: `M0 ${down}H${width}` });
      const y = down > height - 24 ? down - 7 : height - 9;
      shape(group, "text", { class: "name", x: width - 6, y, "text-anchor": "end" }, `hard-to-learn (${share})`);
    }
    this.marks = shape(group, "g", {});
  }

  /** The brushed rectangle, and a ring around an instance (-1: none). */
  mark(brush, row) {
    this.marks.replaceChildren();
    if (brush) {
      const x = this.toX(brush.left), y = this.toY(brush.top);
      const size = { width: this.toX(brush.right) - x, height: this.toY(brush.bottom) - y };
      shape(this.marks, "rect", { class: "brush", x, y, ...size });
    }
    if (row < 0) return;
    const place = { cx: this.toX(this.data.x[row]), cy: this.toY(this.data.y[row]), r: 7 };
    shape(this.marks, "circle", { class: "halo", ...place });
    shape(this.marks, "circle", { class: "cursor", ...place });
  }

  /** The lit instance nearest to a place in pixels, -1 where none is within reach. */
  nearest(px, py, lit) {
    const { data } = this;
    const first = cell(this.fromX(px - REACH) / WIDEST), last = cell(this.fromX(px + REACH) / WIDEST);
    let best = -1, least = REACH * REACH;
    for (let line = cell(this.fromY(py + REACH)); line <= cell(this.fromY(py - REACH)); line++) {
      const { starts, items } = data.cells;
      for (let place = starts[CELLS * line + first]; place < starts[CELLS * line + last + 1]; place++) {
        const row = items[place];
        const distance = (this.toX(data.x[row]) - px) ** 2 + (this.toY(data.y[row]) - py) ** 2;
        if (lit[row] && distance < least) [best, least] = [row, distance];
      }
    }
    return best;
  }

  /** The nearest lit instance in view whose direction from `row` is within 45 degrees of (right, down); -1: none. */
  beside(row, right, down, lit) {
    const { data } = this;
    const px = this.toX(data.x[row]), py = this.toY(data.y[row]);
    let best = -1, least = Infinity;
    for (let other = 0; other < lit.length; other++) {
      if (!lit[other] || !this.shows(other)) continue;
      const dx = this.toX(data.x[other]) - px, dy = this.toY(data.y[other]) - py;
      const along = dx * right + dy * down, aside = Math.abs(dx * down) + Math.abs(dy * right);
      if (along <= 0 || aside > along) continue;
      const distance = along * along + aside * aside;
      if (distance < least) [best, least] = [other, distance];
    }
    return best;
  }

  shows(row) { return within(this.view, this.data.x[row], this.data.y[row]); }
}

const within = (box, x, y) => x >= box.left && x <= box.right && y >= box.bottom && y <= box.top;

/** Round numbers from low to high, about `most` of them. */
function ticks(low, high, most = 10) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-6), last = Math.floor(high / step + 1e-6);
  return Array.from({ length: last - first + 1 }, (_, place) => (first + place) * step);
}

const short = (value) => String(+value.toPrecision(4));
