/**
 * What a call does about a network that went away or changed.
 *
 * Lives here: noticing it, when ICE is restarted, how often, and when to give up. Must not live here: HTTP
 * (signalling.js), the SDP of a restart (fragment.js).
 */

import { takeAnswer } from "./answer.js";
import { fragmentOf, renewedAnswer } from "./fragment.js";
import { Problem } from "./signalling.js";

// A browser takes five to eight seconds to call a connection disconnected. The server sends telemetry every second, so
// that its silence tells much sooner.
const SILENCE_MS = 2_200;
const LOOK_EVERY_MS = 400;
const WAIT_FOR_RESTART_MS = 2_500;
const RETRY_AFTER_MS = [500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000, 4_000];

export class Recovery {
  #peer;
  #restart;
  #answer;
  #tell;
  #isInterrupted = false;
  #isStopped = false;
  #isRestarting = false;
  #attempts = 0;
  #timer = null;
  #looking = null;
  #received = 0;
  #heardAtMs = 0;
  #onOnline = () => this.#isInterrupted && this.#begin(0);

  constructor(peer, { restart, answer, onInterrupted, onResumed, onLost }) {
    this.#peer = peer;
    this.#restart = restart;
    this.#answer = answer;
    this.#tell = { onInterrupted, onResumed, onLost };
    addEventListener("online", this.#onOnline);
  }

  /** Take note of the connection's state. */
  follow(iceConnectionState) {
    if (iceConnectionState === "connected" || iceConnectionState === "completed") this.#resume();
    else if (iceConnectionState === "disconnected" || iceConnectionState === "failed") this.#interrupt();
  }

  /** Something has come that is sent every second: from now on silence is a sign. */
  expectPackets() {
    this.#heardAtMs = performance.now();
    this.#looking ??= setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#looking);
    removeEventListener("online", this.#onOnline);
  }

  async #look() {
    const report = await this.#peer.getStats();
    const received = [...report.values()].find((entry) => entry.type === "transport")?.bytesReceived;
    if (received === undefined || this.#isStopped) return; // a browser that does not count: ICE's word has to do
    const now = performance.now();
    if (received !== this.#received) {
      this.#received = received;
      this.#heardAtMs = now;
      this.#resume();
    } else if (now - this.#heardAtMs > SILENCE_MS) {
      this.#interrupt();
    }
  }

  #interrupt() {
    if (this.#isInterrupted) return;
    this.#isInterrupted = true;
    this.#tell.onInterrupted();
    this.#begin(0);
  }

  #resume() {
    if (!this.#isInterrupted) return;
    this.#isInterrupted = false;
    clearTimeout(this.#timer);
    this.#attempts = 0;
    this.#tell.onResumed();
  }

  #begin(afterMs) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#attempt(), afterMs);
  }

  async #attempt() {
    if (this.#isStopped || !this.#isInterrupted || this.#isRestarting) return;
    this.#isRestarting = true;
    try {
      await this.#negotiate();
    } catch (problem) {
      if (this.#isStopped) return; // the call has ended meanwhile, and its connection refuses everything
      if (!(problem instanceof Problem)) throw problem;
      await this.#forgetOffer();
      if (problem.code === "no_such_call") return void this.#tell.onLost(problem);
    } finally {
      this.#isRestarting = false;
    }
    if (this.#isStopped || !this.#isInterrupted) return;
    const afterMs = RETRY_AFTER_MS[this.#attempts++];
    if (afterMs === undefined) this.#tell.onLost(new Problem("connection_lost", "No restart succeeded."));
    else this.#begin(afterMs + WAIT_FOR_RESTART_MS);
  }

  async #negotiate() {
    const offer = await this.#peer.createOffer({ iceRestart: true });
    await this.#peer.setLocalDescription(offer);
    const fragment = await this.#restart(fragmentOf(offer.sdp));
    const sdp = renewedAnswer(this.#answer(), fragment);
    if (sdp === null) throw new Problem("unreadable", "The fragment has no credentials.");
    await takeAnswer(this.#peer, sdp);
  }

  async #forgetOffer() {
    if (this.#peer.signalingState === "have-local-offer") await this.#peer.setLocalDescription({ type: "rollback" });
  }
}
