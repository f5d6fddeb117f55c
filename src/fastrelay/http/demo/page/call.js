/**
 * One call: a peer connection, its signalling, and what happens to it.
 *
 * Lives here: the order of setting a call up and down, and its events. Must not live here: what to do about a bad
 * network (recovery.js), measuring (quality.js), anything that is seen (view.js and its panels).
 *
 * Events (detail): phase {name, atMs}; live; interrupted; resumed; audio {stream}; telemetry {…};
 * message {text}; channel {isOpen}; ended {problem: Problem | null}.
 */

import { takeAnswer } from "./answer.js";
import { Recovery } from "./recovery.js";
import { Problem } from "./signalling.js";

const CONNECT_WITHIN_MS = 12_000;
const LOOK_FOR_AUDIO_EVERY_MS = 5;

export class Call extends EventTarget {
  #signalling;
  #peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  #recovery;
  #sender;
  #events;
  #answer = "";
  #url = "";
  #isOver = false;
  #isLive = false;
  #startedMs = 0;
  #timers = [];
  #marked = new Set();

  constructor(signalling, microphone) {
    super();
    this.#signalling = signalling;
    this.#sender = this.#peer.addTrack(microphone.getAudioTracks()[0], microphone);
    this.#recovery = new Recovery(this.#peer, {
      restart: (fragment) => signalling.restartIce(this.callId, fragment),
      answer: () => this.#answer,
      onInterrupted: () => this.#tell("interrupted"),
      onResumed: () => this.#tell("resumed"),
      onLost: (problem) => this.#end(problem),
    });
    this.callId = "";
    this.#peer.addEventListener("track", (event) => this.#hear(event));
    this.#peer.addEventListener("iceconnectionstatechange", () => this.#followIce());
    this.#peer.addEventListener("connectionstatechange", () => this.#followConnection());
    this.#openChannels();
  }

  get peer() {
    return this.#peer;
  }

  /** Make the call. Rejects with a Problem when it is not made; later trouble comes as `ended`. */
  async start() {
    try {
      await this.#negotiate();
    } catch (error) {
      if (this.#isOver) return; // given up meanwhile: whatever has failed was no longer wanted
      throw error;
    }
  }

  async #negotiate() {
    this.#startedMs = performance.now();
    const offer = await this.#peer.createOffer();
    await this.#peer.setLocalDescription(offer);
    this.#mark("offer");
    // Nothing is gathered first: the server is ICE-lite and learns our address from our first check.
    const opened = await this.#signalling.open(this.#peer.localDescription.sdp);
    this.#url = opened.url;
    this.callId = opened.callId;
    if (this.#isOver) return void this.#signalling.end(this.#url); // given up while the answer was on its way
    this.#answer = opened.answer;
    this.#mark("answer");
    await takeAnswer(this.#peer, opened.answer);
    this.#later(CONNECT_WITHIN_MS, () => this.#isLive || this.#endUnconnected());
  }

  hangUp() {
    this.#end(null);
  }

  set isMuted(isMuted) {
    this.#sender.track.enabled = !isMuted;
  }

  /** Go on with another microphone; the call notices nothing. */
  async replaceMicrophone(stream) {
    const track = stream.getAudioTracks()[0];
    track.enabled = this.#sender.track.enabled;
    await this.#sender.replaceTrack(track);
  }

  /** Send a line of text to the agent. */
  send(text) {
    if (this.#events.readyState === "open") this.#events.send(text);
  }

  #openChannels() {
    const telemetry = this.#peer.createDataChannel("telemetry");
    telemetry.addEventListener("message", (event) => this.#readTelemetry(event.data));
    this.#events = this.#peer.createDataChannel("events");
    this.#events.addEventListener("open", () => this.#tell("channel", { isOpen: true }));
    this.#events.addEventListener("close", () => this.#tell("channel", { isOpen: false }));
    this.#events.addEventListener("message", (event) => {
      if (typeof event.data === "string") this.#tell("message", { text: event.data });
    });
  }

  #readTelemetry(text) {
    let telemetry = null;
    try {
      telemetry = JSON.parse(text);
    } catch {
      return; // not for us: the figures of the next second will do
    }
    if (telemetry === null || typeof telemetry !== "object") return;
    if (this.#isLive) this.#recovery.expectPackets();
    this.#tell("telemetry", telemetry);
  }

  #hear({ track, receiver, streams }) {
    this.#tell("audio", { stream: streams[0] ?? new MediaStream([track]) });
    // The browser has no event for the first sound that is played, only this list of who was heard.
    const looking = setInterval(() => {
      if (receiver.getSynchronizationSources().length === 0) return;
      clearInterval(looking);
      this.#mark("audio");
    }, LOOK_FOR_AUDIO_EVERY_MS);
    this.#timers.push(looking);
  }

  #followIce() {
    const state = this.#peer.iceConnectionState;
    if (state === "connected" || state === "completed") this.#mark("ice");
    if (this.#isLive) this.#recovery.follow(state);
  }

  #followConnection() {
    const state = this.#peer.connectionState;
    if (state === "connected" && !this.#isLive) {
      this.#isLive = true;
      this.#mark("ice");
      this.#mark("dtls");
      this.#tell("live");
      this.#followDtls(this.#sender.transport);
    } else if (state === "failed" && !this.#isLive) {
      this.#endUnconnected();
    }
  }

  #endUnconnected() {
    const addresses = [...this.#answer.matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+)/gm)].map(([, address]) => address);
    const isLocal = addresses.every((address) => address.startsWith("127.") || address === "::1");
    this.#end(new Problem(isLocal ? "no_media_on_loopback" : "no_media", "No connection in time."));
  }

  /** The state of the connection hides a close behind a bad network: only DTLS itself tells the two apart. */
  #followDtls(transport) {
    transport.addEventListener("statechange", () => {
      if (transport.state === "closed") this.#end(new Problem("server_hung_up", "DTLS was closed."));
      else if (transport.state === "failed") this.#end(new Problem("connection_lost", "DTLS failed."));
    });
  }

  #mark(name) {
    if (this.#marked.has(name)) return;
    this.#marked.add(name);
    this.#tell("phase", { name, atMs: performance.now() - this.#startedMs });
  }

  #end(problem) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timers.forEach(clearTimeout); // also ends intervals: they share one list of ids
    this.#recovery.stop();
    const isOverThere = problem?.code === "server_hung_up" || problem?.code === "no_such_call";
    // In this order: a closed connection ends the call, too, and there would be nothing left to hang up.
    if (this.#url && !isOverThere) this.#signalling.end(this.#url).finally(() => this.#peer.close());
    else this.#peer.close();
    this.#tell("ended", { problem });
  }

  #later(ms, action) {
    this.#timers.push(setTimeout(action, ms));
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
