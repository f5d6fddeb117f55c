/**
 * How good the call is: the browser's own statistics and the server's, as one set of figures.
 *
 * Lives here: reading, taking differences, units. Must not live here: how figures look (tiles.js).
 */

/** Figures of a second; null is what nobody has measured yet. Loss is a share of 1. */
const NOTHING = {
  rttMs: null,
  serverRttMs: null,
  bufferMs: null,
  up: { jitterMs: null, loss: null, bitrate: null },
  down: { jitterMs: null, loss: null, bitrate: null },
};

export class QualityMeter {
  #peer;
  #before = null;
  #telemetry = {};

  constructor(peer) {
    this.#peer = peer;
  }

  /** Take what the server said last. */
  set telemetry(telemetry) {
    this.#telemetry = telemetry;
  }

  /** Measure since the last time; returns {figures, path, setup}. */
  async measure() {
    const report = await this.#peer.getStats();
    const now = readReport(report);
    const figures = this.#figures(now);
    this.#before = now;
    return { figures, path: pathOf(report, now), setup: this.#telemetry.setup };
  }

  #figures(now) {
    const before = this.#before;
    const { inbound, outbound, heard, pair } = now;
    const { incoming = {}, rtt_ms: serverRttMs = null } = this.#telemetry;
    const rttS = pair?.currentRoundTripTime ?? heard?.roundTripTime;
    return {
      ...NOTHING,
      rttMs: rttS === undefined ? null : rttS * 1000,
      serverRttMs,
      bufferMs: bufferMs(before?.inbound, inbound),
      up: {
        jitterMs: incoming.jitter_ms ?? inMs(heard?.jitter),
        loss: incoming.loss_fraction ?? heard?.fractionLost ?? null,
        bitrate: rate(before?.outbound, outbound, "bytesSent"),
      },
      down: {
        jitterMs: inMs(inbound?.jitter),
        loss: lossSince(before?.inbound, inbound),
        bitrate: rate(before?.inbound, inbound, "bytesReceived"),
      },
    };
  }
}

function readReport(report) {
  const found = {};
  for (const entry of report.values()) {
    if (entry.type === "inbound-rtp" && entry.kind === "audio") found.inbound = entry;
    else if (entry.type === "outbound-rtp" && entry.kind === "audio") found.outbound = entry;
    else if (entry.type === "remote-inbound-rtp" && entry.kind === "audio") found.heard = entry;
    else if (entry.type === "transport") found.transport = entry;
  }
  // Firefox has no selectedCandidatePairId on its transport, and says `selected` on the pair instead.
  const pairs = [...report.values()].filter((entry) => entry.type === "candidate-pair");
  found.pair = pairs.find((pair) => pair.id === found.transport?.selectedCandidatePairId) ?? pairs.find((pair) => pair.selected || pair.nominated);
  return found;
}

function pathOf(report, { inbound, transport, pair }) {
  const end = (id) => {
    const candidate = report.get(id);
    if (!candidate?.address) return null;
    const address = candidate.address.includes(":") ? `[${candidate.address}]` : candidate.address;
    return `${address}:${candidate.port}`;
  };
  const codec = report.get(inbound?.codecId);
  return {
    relay: end(pair?.remoteCandidateId),
    client: end(pair?.localCandidateId),
    codec: codec ? `${codec.mimeType.replace("audio/", "")}, ${codec.clockRate / 1000} kHz` : null,
    dtls: tlsName(transport?.tlsVersion),
    srtp: cipherName(transport?.srtpCipher),
  };
}

function tlsName(version) {
  return { FEFD: "DTLS 1.2", FEFC: "DTLS 1.3" }[version] ?? null;
}

function cipherName(name) {
  return { SRTP_AEAD_AES_128_GCM: "AES-128-GCM", SRTP_AES128_CM_HMAC_SHA1_80: "AES-128-CM" }[name] ?? name ?? null;
}

function inMs(seconds) {
  return seconds === undefined ? null : seconds * 1000;
}

/** Bits per second since the last report. */
function rate(before, now, counter) {
  if (!before || !now || now.timestamp <= before.timestamp) return null;
  return ((now[counter] - before[counter]) * 8000) / (now.timestamp - before.timestamp);
}

function lossSince(before, now) {
  if (!before || !now) return null;
  const lost = Math.max(0, now.packetsLost - before.packetsLost);
  const expected = lost + now.packetsReceived - before.packetsReceived;
  return expected > 0 ? lost / expected : 0;
}

/** How long sound waited in the browser's jitter buffer, on average since the last report. */
function bufferMs(before, now) {
  if (!before || !now || now.jitterBufferDelay === undefined) return null;
  const samples = now.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
  return samples > 0 ? ((now.jitterBufferDelay - before.jitterBufferDelay) / samples) * 1000 : null;
}
