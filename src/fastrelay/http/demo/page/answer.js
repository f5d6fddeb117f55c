/**
 * Giving the browser an answer that may be no answer at all.
 *
 * Lives here: the browser's refusal becoming a Problem. Must not live here: where answers come from.
 */

import { Problem } from "./signalling.js";

export async function takeAnswer(peer, sdp) {
  try {
    await peer.setRemoteDescription({ type: "answer", sdp });
  } catch (error) {
    throw new Problem("unreadable", error.message);
  }
}
