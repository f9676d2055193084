"use strict";
// The data of the page: blocks of it unpacked, its instances in orders, its texts when they are asked for.

const element = (id) => document.getElementById(id);
const page = JSON.parse(element("page").textContent);
const parsed = new Promise((done) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", done);
  else done();
});

async function block(id) {
  const holder = element(id);
  const text = holder.textContent;
  holder.remove();
  const packed = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(text)
    : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

const blockOfJson = async (id) => JSON.parse(new TextDecoder().decode(await block(id)));

/** Rows in the order of their keys, which are integers below `count`; those of key k are items[starts[k]] on. */
function grouped(keys, count) {
  const starts = new Uint32Array(count + 1);
  for (const key of keys) starts[key + 1]++;
  for (let key = 0; key < count; key++) starts[key + 1] += starts[key];
  const next = starts.slice();
  const items = new Uint32Array(keys.length);
  for (let row = 0; row < keys.length; row++) items[next[keys[row]]++] = row;
  return { starts, items };
}

const CELLS = 256;
const AMBIGUOUS = 1, HARD = 2;
const WIDEST = 0.5;
const MOST_LEVELS = 7;

/** The instances as arrays, most ambiguous first, and in the orders that drawing and pointing need. */
async function readInstances() {
  const names = ["variability", "confidence", "correct", "label", "regions"];
  const [variability, confidence, correct, label, regions] = await Promise.all(names.map(block));
  const x = Float32Array.from(new Uint16Array(variability), (value) => (value / 65535) * WIDEST);
  const y = Float32Array.from(new Uint16Array(confidence), (value) => value / 65535);
  const data = {
    x, y,
    correct: new Uint16Array(correct),
    label: new Uint16Array(label),
    regions: new Uint8Array(regions),
    cells: grouped(Uint32Array.from(x, (_, row) => cell(x[row] / WIDEST) + CELLS * cell(y[row])), CELLS * CELLS),
  };
  // Correctness itself where it takes few values, else rounded up to fifths: never correct stays apart.
  data.exact = page.epochs < MOST_LEVELS;
  data.levels = data.exact ? page.epochs + 1 : 6;
  data.level = Uint8Array.from(data.correct, (times) => (data.exact ? times : Math.ceil((5 * times) / page.epochs)));
  data.byLevel = grouped(data.level, data.levels);
  return data;
}

const cell = (share) => Math.max(0, Math.min(CELLS - 1, Math.floor(share * CELLS)));

const lazy = new Map();
/** What `read` of the block `id` gives, read once, as soon as the page holds it. */
function once(id, read) {
  if (!lazy.has(id)) lazy.set(id, parsed.then(() => read(id)));
  return lazy.get(id);
}

const readUids = () => once("uids", blockOfJson);
const readChunk = (number) => once(`texts-${number}`, blockOfJson);

/** The texts of an instance, one per column; null where the page does not hold them. */
async function readTexts(row) {
  const chunk = await readChunk(Math.floor(row / page.chunk));
  return chunk.map((column) => column[row % page.chunk]);
}

/** The characters from and to which a text of an instance is marked; null where none of this kind of task is. */
async function readMark(row) {
  if (page.marked === null) return null;
  const marks = new Uint32Array(await once("marks", block));
  return marks.subarray(2 * row, 2 * row + 2);
}

/** An instance's probability of its true class by epoch. */
async function readCurve(row) {
  const curves = new Uint8Array(await once("curves", block));
  return Array.from(curves.subarray(row * page.epochs, (row + 1) * page.epochs), (value) => value / 255);
}

const pause = () => new Promise((done) => setTimeout(done));

/** Which instances hold `query` in a text or their uid, as a mask; null once `abandoned`. */
async function search(query, abandoned, progress) {
  const pattern = new RegExp(query.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "iu");
  const uids = await readUids();
  const found = new Uint8Array(page.instances);
  for (let row = 0; row < found.length; row++) found[row] = pattern.test(uids[row]);
  for (let start = 0; start < page.instances; start += page.chunk) {
    const columns = await readChunk(start / page.chunk);
    for (const column of columns) {
      for (let row = 0; row < column.length; row++) {
        if (column[row] !== null && pattern.test(column[row])) found[start + row] = 1;
      }
    }
    await pause();
    if (abandoned()) return null;
    progress(start / page.instances);
  }
  return found;
}
