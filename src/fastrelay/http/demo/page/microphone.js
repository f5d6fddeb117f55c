/**
 * The person's microphone.
 *
 * Lives here: asking for it, the list of devices, and why it cannot be had. Must not live here: what is done with its
 * sound (call.js, waveform.js).
 */

import { Problem } from "./signalling.js";

const PROBLEMS = {
  NotAllowedError: "microphone_refused",
  SecurityError: "microphone_refused",
  NotFoundError: "microphone_missing",
  OverconstrainedError: "microphone_missing",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
};

/** Open a microphone: the one with this id, or the one that the system prefers. */
export async function openMicrophone(deviceId) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Problem("insecure_page", "The page is not a secure context.");
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  if (deviceId) audio.deviceId = { exact: deviceId };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio, video: false });
  } catch (error) {
    throw new Problem(PROBLEMS[error.name] ?? "microphone_busy", error.message);
  }
}

/** The microphones there are, as {id, label}. Labels are empty until the person has allowed one. */
export async function listMicrophones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices
    .filter((device) => device.kind === "audioinput" && device.deviceId)
    .map((device, index) => ({ id: device.deviceId, label: device.label || `Microphone ${index + 1}` }));
}

/** Call back when a device was plugged in or out. */
export function onMicrophonesChanged(callback) {
  navigator.mediaDevices?.addEventListener("devicechange", callback);
}
