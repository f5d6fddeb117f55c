/**
 * Watches one call: asks browser and server every second how it is.
 *
 * Lives here: when to ask whom. Must not live here: reading the figures (quality.js), showing them (main.js, tiles.js).
 */

import { QualityMeter } from "./quality.js";
import { Problem } from "./signalling.js";

const EVERY_MS = 1_000;
const PUSHED_IS_FRESH_MS = 2_500; // as long as figures come over the data channel, HTTP is not asked

export class Observer {
  #call;
  #signalling;
  #meter;
  #onMeasured;
  #pushedAtMs = -Infinity;
  #timer;

  constructor(call, signalling, onMeasured) {
    this.#call = call;
    this.#signalling = signalling;
    this.#onMeasured = onMeasured;
    this.#meter = new QualityMeter(call.peer);
    this.#timer = setInterval(() => this.#turn(), EVERY_MS);
    this.#turn();
  }

  /** Take figures that the server sent by itself. */
  take(telemetry) {
    this.#pushedAtMs = performance.now();
    this.#meter.telemetry = telemetry;
  }

  stop() {
    clearInterval(this.#timer);
  }

  async #turn() {
    if (performance.now() - this.#pushedAtMs > PUSHED_IS_FRESH_MS) await this.#ask();
    if (this.#call.peer.signalingState !== "closed") this.#onMeasured(await this.#meter.measure());
  }

  async #ask() {
    try {
      this.#meter.telemetry = await this.#signalling.statistics(this.#call.callId);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.#meter.telemetry = {}; // the call itself will tell when it ends; without the server's view ours remains
    }
  }
}
