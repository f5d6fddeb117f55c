/**
 * What went wrong, in words that help the person who reads them.
 *
 * Lives here: sentences. Must not live here: finding out what went wrong.
 */

const EXPLANATIONS = {
  insecure_page: [
    "The browser keeps the microphone from this page",
    "Browsers only lend it to pages that came over HTTPS or from this very computer. Open the page at https:// or at http://localhost.",
  ],
  microphone_refused: [
    "The microphone is not allowed",
    "Allow it for this page in the browser’s address bar, and in the system’s privacy settings, then start again.",
  ],
  microphone_missing: ["There is no microphone", "Plug one in or choose another, then start again."],
  microphone_busy: ["The microphone cannot be opened", "Another program may be using it. Close that program or choose another microphone."],
  microphone_lost: ["The microphone has gone", "It was unplugged or switched off. Choose another one; the call goes on."],
  server_away: ["The server cannot be reached", "Check that fastrelay is running and that your network is up, then start again."],
  server_slow: ["The server does not answer", "It took more than ten seconds. Start again in a moment."],
  unauthorized: ["This server asks for a key", "Enter an API key, or a client secret that starts with ek_."],
  foreign_origin: [
    "This page may not call here",
    "The server takes calls of pages under its own name only. Open the page under that, or have its name added to http.allowed_origins.",
  ],
  too_many_calls: ["All lines are busy", "The server carries as many calls as it may."],
  too_many_offers: ["Too many calls at once", "The server takes only so many new calls a second."],
  draining: ["The server is going out of service", "It finishes its calls and takes no new ones."],
  invalid_offer: ["The server does not understand this browser", "It refused the call’s description."],
  no_such_call: ["The call has ended", "The server no longer knows it. Start a new one."],
  unreadable: ["The server’s answer makes no sense", "Is this page served by fastrelay?"],
  no_media: [
    "No way through for the audio",
    "The call was accepted, but no packet came back. A firewall may be in the way: the relay’s UDP port must be open.",
  ],
  no_media_on_loopback: [
    "This browser does not reach a relay at 127.0.0.1",
    "Firefox keeps WebRTC away from the loopback address. Use a browser of the Chromium family here, or give the relay an address of this machine’s network.",
  ],
  connection_lost: ["The connection is lost", "The network did not come back in time. Start again when it has."],
  server_hung_up: ["The other side has hung up", "The agent or the server ended the call."],
};

/** Return {title, advice} for a Problem. */
export function explain(problem) {
  const [title, advice] = EXPLANATIONS[problem.code] ?? ["The call cannot be made", problem.message || "The server gave no reason."];
  const detail = problem.code === "invalid_offer" && problem.message ? ` It says: ${problem.message}` : "";
  const retry = problem.retryAfterS ? ` Try again in ${problem.retryAfterS} s.` : "";
  return { title, advice: advice + detail + retry };
}
