/**
 * How the call was set up: one bar a phase, on a common scale.
 *
 * Lives here: phases becoming bars and their text. Must not live here: noticing phases (call.js).
 */

const ORDER = ["offer", "answer", "ice", "dtls", "audio"];
const AT_SERVER = { answer_ms: "answer", check_ms: "first check", handshake_ms: "keys", first_audio_ms: "first audio" };

export class SetupTimeline {
  #root;
  #total;
  #aside;
  #marks = {};

  constructor(root, total, aside) {
    this.#root = root;
    this.#total = total;
    this.#aside = aside;
    this.clear();
  }

  clear() {
    this.#marks = {};
    this.#total.textContent = "–";
    this.#aside.textContent = "";
    for (const name of ORDER) {
      this.#row(name).classList.remove("is-done");
      this.#row(name).querySelector(".lasted").textContent = "–";
    }
  }

  /** Take note that a phase is over. Phases may end out of order: sound can come while we still look for DTLS's end. */
  mark(name, atMs) {
    this.#marks[name] = atMs;
    const last = Math.max(...Object.values(this.#marks));
    let from = 0;
    for (const phase of ORDER) {
      const to = this.#marks[phase];
      if (to === undefined) continue;
      this.#show(phase, from, Math.max(from, to), last);
      from = Math.max(from, to);
    }
    if (this.#marks.dtls !== undefined) this.#total.textContent = this.#marks.dtls.toFixed(0);
  }

  /** Show the server's own clock beside ours: milliseconds since it had the offer. */
  showServer(setup) {
    const steps = Object.entries(AT_SERVER).filter(([step]) => typeof setup?.[step] === "number");
    const told = steps.map(([step, name]) => `${name} ${setup[step].toFixed(0)}\u00a0ms`);
    this.#aside.textContent = told.length ? `At the server, from the offer on: ${told.join(", ")}.` : "";
  }

  #show(phase, from, to, last) {
    const row = this.#row(phase);
    row.classList.add("is-done");
    row.querySelector(".lasted").textContent = `${(to - from).toFixed(to - from < 10 ? 1 : 0)} ms`;
    const bar = row.querySelector(".bar");
    bar.style.setProperty("--from", `${(from / last) * 100}%`);
    bar.style.setProperty("--length", `${((to - from) / last) * 100}%`);
  }

  #row(name) {
    return this.#root.querySelector(`[data-phase="${name}"]`);
  }
}
