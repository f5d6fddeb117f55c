/**
 * What a call does about a network that went away or changed.
 *
 * Lives here: when ICE is restarted, how often, and when to give up. Must not live here: HTTP (signalling.js), the SDP
 * of a restart (fragment.js).
 */

import { fragmentOf, renewedAnswer } from "./fragment.js";
import { Problem } from "./signalling.js";

// A browser often finds its way back by itself within seconds; a restart before that would only disturb it.
const PATIENCE_MS = 2_500;
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
  #onOnline = () => this.#isInterrupted && this.#begin(0);

  constructor(peer, { restart, answer, onInterrupted, onResumed, onLost }) {
    this.#peer = peer;
    this.#restart = restart;
    this.#answer = answer;
    this.#tell = { onInterrupted, onResumed, onLost };
    addEventListener("online", this.#onOnline);
  }

  /** Take note of the connection's state; acts on trouble and on its end. */
  follow(iceConnectionState) {
    if (iceConnectionState === "connected" || iceConnectionState === "completed") {
      clearTimeout(this.#timer);
      this.#attempts = 0;
      if (this.#isInterrupted) this.#tell.onResumed();
      this.#isInterrupted = false;
    } else if (iceConnectionState === "disconnected" || iceConnectionState === "failed") {
      if (!this.#isInterrupted) this.#tell.onInterrupted();
      this.#isInterrupted = true;
      this.#begin(iceConnectionState === "failed" ? 0 : PATIENCE_MS);
    }
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    removeEventListener("online", this.#onOnline);
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
      if (!(problem instanceof Problem)) throw problem;
      await this.#forgetOffer();
      if (problem.code === "no_such_call") return void this.#tell.onLost(problem);
    } finally {
      this.#isRestarting = false;
    }
    if (this.#isStopped) return;
    const afterMs = RETRY_AFTER_MS[this.#attempts++];
    if (afterMs === undefined) this.#tell.onLost(new Problem("connection_lost", "No restart succeeded."));
    else this.#begin(afterMs + PATIENCE_MS); // does nothing when the connection is back by then
  }

  async #negotiate() {
    const offer = await this.#peer.createOffer({ iceRestart: true });
    await this.#peer.setLocalDescription(offer);
    const fragment = await this.#restart(fragmentOf(offer.sdp));
    const sdp = renewedAnswer(this.#answer(), fragment);
    if (sdp === null) throw new Problem("unreadable", "The fragment has no credentials.");
    if (!this.#isStopped) await this.#peer.setRemoteDescription({ type: "answer", sdp });
  }

  async #forgetOffer() {
    if (this.#peer.signalingState === "have-local-offer") await this.#peer.setLocalDescription({ type: "rollback" });
  }
}
