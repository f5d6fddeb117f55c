/**
 * The little SDP that an ICE restart needs (RFC 8840, RFC 9725 section 4.3).
 *
 * Lives here: reading credentials out of SDP and putting them in. Must not live here: sending them (signalling.js).
 */

/** Return our part of a restart: the credentials that an offer carries, as a fragment. */
export function fragmentOf(sdp) {
  const line = (pattern) => sdp.match(pattern)?.[0] ?? "";
  const lines = [
    line(/^a=group:BUNDLE.*$/m),
    line(/^m=audio.*$/m),
    line(/^a=mid:.*$/m),
    line(/^a=ice-ufrag:.*$/m),
    line(/^a=ice-pwd:.*$/m),
  ];
  return lines.map((text) => `${text.trim()}\r\n`).join("");
}

/** Return the answer that says the same as the earlier one, with the credentials of the fragment. */
export function renewedAnswer(answer, fragment) {
  const ufrag = fragment.match(/^a=ice-ufrag:(\S+)/m)?.[1];
  const password = fragment.match(/^a=ice-pwd:(\S+)/m)?.[1];
  if (!ufrag || !password) return null;
  return answer
    .replace(/^a=ice-ufrag:.*$/gm, `a=ice-ufrag:${ufrag}`)
    .replace(/^a=ice-pwd:.*$/gm, `a=ice-pwd:${password}`)
    .replace(/^(a=candidate:.* ufrag )\S+/gm, `$1${ufrag}`);
}
