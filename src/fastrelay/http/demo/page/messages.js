/**
 * The message panel: what was typed and what came back.
 *
 * Lives here: the form and the list. Must not live here: the data channel (call.js).
 */

const KEPT = 100;

export class Messages {
  #form;
  #list;
  #input;
  #isOpen = false;

  constructor(form, list, onSend) {
    this.#form = form;
    this.#list = list;
    this.#input = form.elements.text;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#input.value.trim();
      if (!text || !this.#isOpen) return;
      this.add("you", text);
      onSend(text);
      this.#input.value = "";
    });
    this.isOpen = false;
  }

  set isOpen(isOpen) {
    this.#isOpen = isOpen;
    // Not `disabled`, which would take the focus away from someone typing when the call ends.
    this.#input.readOnly = !isOpen;
    this.#form.elements.send.setAttribute("aria-disabled", String(!isOpen));
    this.#form.classList.toggle("is-closed", !isOpen);
  }

  clear() {
    this.#list.replaceChildren();
  }

  add(who, text) {
    const item = document.createElement("li");
    const name = document.createElement("span");
    name.className = "who";
    name.textContent = who === "you" ? "You" : "Agent";
    const words = document.createElement("span");
    words.textContent = text;
    item.className = `from-${who}`;
    item.append(name, " ", words);
    this.#list.append(item);
    while (this.#list.children.length > KEPT) this.#list.firstElementChild.remove();
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}
