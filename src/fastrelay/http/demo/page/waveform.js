/**
 * The two voices as they are heard, running from right to left.
 *
 * Lives here: listening to a stream (AnalyserNode) and drawing its loudness. Must not live here: the page around it.
 */

const BAR_EVERY_MS = 40;
const BAR_PX = 3;
const GAP_PX = 3;
const LANES = ["you", "agent"];
const CALM_BAR_EVERY_MS = 500; // for people who asked for less motion: still the history, but in steps

/** Listens to streams and remembers how loud each 40 ms were. */
class Ear {
  #analyser;
  #samples;
  #source = null;

  constructor(context) {
    this.#analyser = new AnalyserNode(context, { fftSize: 2048 });
    this.#samples = new Float32Array(this.#analyser.fftSize);
  }

  listenTo(stream) {
    this.#source?.disconnect();
    this.#source = stream ? new MediaStreamAudioSourceNode(this.#analyser.context, { mediaStream: stream }) : null;
    this.#source?.connect(this.#analyser);
  }

  /** Loudness now, 0 to 1, in steps that an eye takes for even. */
  loudness() {
    if (!this.#source) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let peak = 0;
    for (const sample of this.#samples) peak = Math.max(peak, Math.abs(sample));
    return Math.min(1, Math.sqrt(peak) * 1.2);
  }
}

export class Waveform {
  #canvas;
  #pen;
  #context = null;
  #ears = {};
  #bars = { you: [], agent: [] };
  #lastBarMs = 0;
  #frame = 0;
  #isCalm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    new ResizeObserver(() => this.#fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw(0));
  }

  /** Begin to run. Needs a click before it: browsers give no sound clock without one. */
  start() {
    this.#context ??= new AudioContext();
    this.#context.resume();
    for (const lane of LANES) {
      this.#ears[lane] ??= new Ear(this.#context);
      this.#bars[lane] = [];
    }
    this.#lastBarMs = performance.now();
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#turn());
  }

  /** Stop where it is; what was heard stays visible. */
  stop() {
    cancelAnimationFrame(this.#frame);
    for (const lane of LANES) this.#ears[lane]?.listenTo(null);
    this.#context?.suspend();
  }

  listenTo(lane, stream) {
    this.#ears[lane].listenTo(stream);
  }

  #turn() {
    const now = performance.now();
    const everyMs = this.#isCalm.matches ? CALM_BAR_EVERY_MS : BAR_EVERY_MS;
    // A page in the background gets no frames: what it missed is not worth catching up on.
    if (now - this.#lastBarMs > 1000) this.#lastBarMs = now - everyMs;
    while (now - this.#lastBarMs >= everyMs) {
      this.#lastBarMs += everyMs;
      for (const lane of LANES) {
        this.#bars[lane].unshift(this.#ears[lane].loudness());
        this.#bars[lane].length = Math.min(this.#bars[lane].length, 400);
      }
    }
    this.#draw(this.#isCalm.matches ? 0 : (now - this.#lastBarMs) / everyMs);
    this.#frame = requestAnimationFrame(() => this.#turn());
  }

  #fit() {
    const scale = devicePixelRatio || 1;
    this.#canvas.width = Math.round(this.#canvas.clientWidth * scale);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * scale);
    this.#pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.#draw(0);
  }

  #draw(shift) {
    const [width, height] = [this.#canvas.clientWidth, this.#canvas.clientHeight];
    const style = getComputedStyle(this.#canvas);
    this.#pen.clearRect(0, 0, width, height);
    LANES.forEach((lane, index) => {
      const middle = (height * (2 * index + 1)) / 4;
      const room = height / 4 - 6;
      this.#pen.fillStyle = style.getPropertyValue(`--${lane}-on-stage`);
      this.#drawLane(this.#bars[lane], { width, middle, room, shift });
    });
    this.#pen.globalAlpha = 1;
  }

  #drawLane(bars, { width, middle, room, shift }) {
    const step = BAR_PX + GAP_PX;
    const count = Math.ceil(width / step) + 1;
    for (let index = 0; index < count; index++) {
      const x = width - BAR_PX - (index + (bars.length ? shift : 0)) * step;
      const loudness = bars[index] ?? 0;
      const half = Math.max(BAR_PX / 2, loudness * room);
      // Silence is a row of faint dots; sound fades a little with age, so that the eye finds now.
      this.#pen.globalAlpha = loudness > 0.03 ? 1 - 0.55 * (index / count) : 0.28;
      this.#pen.beginPath();
      this.#pen.roundRect(x, middle - half, BAR_PX, half * 2, BAR_PX / 2);
      this.#pen.fill();
    }
  }
}
