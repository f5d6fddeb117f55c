/**
 * The server's HTTP interface, as far as a caller needs it.
 *
 * Lives here: requests, and turning every way in which they fail into a Problem. Must not live here: WebRTC (call.js),
 * the sentences that people read (problems.js).
 */

const ANSWER_WITHIN_MS = 10_000;

/** Why something could not be done; `code` is one that problems.js can explain. */
export class Problem extends Error {
  constructor(code, message, { retryAfterS = null } = {}) {
    super(message);
    this.name = "Problem";
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

export class Signalling {
  #key = "";

  /** An API key or a client secret, kept in memory only: leaving the page forgets it. */
  set key(value) {
    this.#key = value.trim();
  }

  /** Make a call; returns its answer, its URL and its id. */
  async open(offer) {
    const response = await this.#request("/v1/realtime/calls", {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Accept: "application/sdp" },
      body: offer,
    });
    const location = response.headers.get("Location");
    if (!location) throw new Problem("unreadable", "The answer has no Location.");
    const url = new URL(location, response.url);
    return { answer: await response.text(), url: url.pathname, callId: url.pathname.split("/").at(-1) };
  }

  /** Tell the server our new ICE credentials; returns its own as an SDP fragment. */
  async restartIce(callId, fragment) {
    const response = await this.#request(`/whip/${callId}`, {
      method: "PATCH",
      headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": '"*"' },
      body: fragment,
    });
    return response.text();
  }

  /** Hang up. Survives the page, so that the server need not wait for silence. */
  async end(url) {
    try {
      await this.#request(url, { method: "DELETE", keepalive: true });
    } catch (problem) {
      // Whether it was over already or the server is away: there is nothing left to hang up.
      if (!(problem instanceof Problem)) throw problem;
    }
  }

  /** What the server measures of a call. */
  async statistics(callId) {
    const response = await this.#request(`/v1/calls/${callId}/stats`, { headers: { Accept: "application/json" } });
    return response.json();
  }

  async #request(path, { headers = {}, ...options }) {
    if (this.#key) headers = { ...headers, Authorization: `Bearer ${this.#key}` };
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    } catch (error) {
      throw new Problem(error.name === "TimeoutError" ? "server_slow" : "server_away", error.message);
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

async function problemOf(response) {
  const retryAfterS = Number(response.headers.get("Retry-After")) || null;
  let error = {};
  if (response.headers.get("Content-Type")?.startsWith("application/json")) {
    try {
      error = (await response.json()).error ?? {};
    } catch {
      error = {}; // says it is JSON and is not: the status alone must do
    }
  }
  const code = response.status === 401 ? "unauthorized" : (error.code ?? `status_${response.status}`);
  return new Problem(code, error.message ?? response.statusText, { retryAfterS });
}
