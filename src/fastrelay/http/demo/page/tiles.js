/**
 * The quality panel: figures with their last forty seconds as a line.
 *
 * Lives here: numbers becoming text and lines. Must not live here: where they come from (quality.js).
 */

const SECONDS_SHOWN = 40;
const SVG = "http://www.w3.org/2000/svg";

const ms = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0));
const percent = (value) => (value === 0 ? "0" : value < 0.1 ? (value * 100).toFixed(1) : (value * 100).toFixed(0));
const kilobits = (value) => (value / 1000).toFixed(0);

/** Each tile: where its figures are, how they read, and the least top of its line's scale. */
const TILES = {
  rtt: { read: (f) => ({ path: f.rttMs, server: f.serverRttMs }), text: ms, top: 2 },
  jitter: { read: (f) => ({ you: f.up.jitterMs, agent: f.down.jitterMs }), text: ms, top: 5 },
  loss: { read: (f) => ({ you: f.up.loss, agent: f.down.loss }), text: percent, top: 0.02 },
  bitrate: { read: (f) => ({ you: f.up.bitrate, agent: f.down.bitrate }), text: kilobits, top: 40_000 },
};

export class Tiles {
  #root;
  #history = {};

  constructor(root) {
    this.#root = root;
    this.clear();
  }

  clear() {
    for (const name of Object.keys(TILES)) this.#history[name] = {};
    for (const figure of this.#root.querySelectorAll("[data-figure]")) figure.textContent = "–";
    for (const line of this.#root.querySelectorAll("svg")) line.replaceChildren();
  }

  show(figures) {
    for (const [name, tile] of Object.entries(TILES)) {
      const values = tile.read(figures);
      for (const [part, value] of Object.entries(values)) this.#showPart(name, tile, part, value);
      this.#drawLines(name, tile);
    }
  }

  #showPart(name, tile, part, value) {
    const figure = this.#root.querySelector(`[data-figure="${name}-${part}"]`);
    figure.textContent = value === null ? "–" : tile.text(value);
    const series = (this.#history[name][part] ??= []);
    series.push(value);
    if (series.length > SECONDS_SHOWN) series.shift();
  }

  #drawLines(name, tile) {
    const canvas = this.#root.querySelector(`[data-lines="${name}"]`);
    const all = Object.values(this.#history[name]).flat();
    const top = Math.max(tile.top, ...all.filter((value) => value !== null)) * 1.25;
    const lines = Object.entries(this.#history[name]).map(([part, series]) => {
      const line = document.createElementNS(SVG, "polyline");
      const first = SECONDS_SHOWN - series.length;
      const points = series.map((value, index) => (value === null ? null : [first + index, 30 - (value / top) * 28]));
      line.setAttribute("points", points.filter(Boolean).map(([x, y]) => `${x},${y.toFixed(2)}`).join(" "));
      line.setAttribute("class", `line-${part}`);
      return line;
    });
    canvas.replaceChildren(...lines);
  }
}
