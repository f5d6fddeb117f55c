/**
 * The stage: state, clock, trouble, and the buttons' faces.
 *
 * Lives here: what the stage shows in which state. Must not live here: what the buttons do (main.js).
 */

const STATES = {
  idle: { text: "Ready", button: "Start talking", isEnding: false },
  asking: { text: "Asking for the microphone", button: "Cancel", isEnding: true },
  calling: { text: "Connecting", button: "Cancel", isEnding: true },
  live: { text: "Connected. Say something.", button: "Hang up", isEnding: true },
  interrupted: { text: "The network is interrupted. Reconnecting", button: "Hang up", isEnding: true },
  ended: { text: "Call ended", button: "Start talking", isEnding: false },
  failed: { text: "No call", button: "Start talking", isEnding: false },
};

export class Stage {
  #root = document.querySelector("#stage");
  #state = document.querySelector("#state");
  #clock = document.querySelector("#clock");
  #trouble = document.querySelector("#trouble");
  #callButton = document.querySelector("#call");
  #muteButton = document.querySelector("#mute");
  #sinceMs = 0;
  #ticking = null;

  /** Show a state; `text` replaces its usual words. */
  show(name, text = STATES[name].text) {
    const state = STATES[name];
    this.#root.dataset.state = name === "asking" ? "calling" : name;
    this.#state.textContent = text;
    this.#callButton.textContent = state.button;
    this.#callButton.classList.toggle("is-ending", state.isEnding);
    const isTalking = name === "live" || name === "interrupted";
    // Someone who presses Mute as the call ends must not lose the place on the page.
    if (!isTalking && document.activeElement === this.#muteButton) this.#callButton.focus();
    this.#muteButton.disabled = !isTalking;
    if (isTalking) this.#startClock();
    else this.#stopClock(name === "asking");
  }

  set isMuted(isMuted) {
    this.#muteButton.setAttribute("aria-pressed", String(isMuted));
  }

  /** Say what is wrong, {title, advice}; null takes it away. */
  set trouble(trouble) {
    this.#trouble.querySelector(".trouble-title").textContent = trouble?.title ?? "";
    this.#trouble.querySelector(".trouble-advice").textContent = trouble?.advice ?? "";
    this.#trouble.hidden = trouble === null;
  }

  #startClock() {
    if (this.#ticking) return;
    this.#sinceMs = performance.now();
    this.#ticking = setInterval(() => this.#tick(), 250);
    this.#tick();
  }

  #stopClock(isNewCall) {
    clearInterval(this.#ticking);
    this.#ticking = null;
    if (isNewCall) this.#clock.textContent = "00:00";
  }

  #tick() {
    const seconds = Math.floor((performance.now() - this.#sinceMs) / 1000);
    const two = (value) => String(value).padStart(2, "0");
    const hours = Math.floor(seconds / 3600);
    const text = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
    this.#clock.textContent = hours ? `${hours}:${text}` : text;
  }
}
