/**
 * How the call was set up: one bar a phase, on a common scale.
 *
 * Lives here: phases becoming bars and their text. Must not live here: noticing phases (call.js).
 */

const ORDER = ["offer", "answer", "ice", "dtls", "audio"];

export class SetupTimeline {
  #root;
  #total;
  #marks = {};

  constructor(root, total) {
    this.#root = root;
    this.#total = total;
    this.clear();
  }

  clear() {
    this.#marks = {};
    this.#total.textContent = "–";
    for (const name of ORDER) {
      this.#row(name).classList.remove("is-done");
      this.#row(name).querySelector("output").textContent = "–";
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
    this.#total.textContent = (this.#marks.dtls ?? last).toFixed(0);
  }

  #show(phase, from, to, last) {
    const row = this.#row(phase);
    row.classList.add("is-done");
    row.querySelector("output").textContent = `${(to - from).toFixed(to - from < 10 ? 1 : 0)} ms`;
    const bar = row.querySelector(".bar");
    bar.style.setProperty("--from", `${(from / last) * 100}%`);
    bar.style.setProperty("--length", `${((to - from) / last) * 100}%`);
  }

  #row(name) {
    return this.#root.querySelector(`[data-phase="${name}"]`);
  }
}
