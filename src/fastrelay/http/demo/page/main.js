/**
 * The page's controller: what the person does, what the call does, and what is shown of both.
 *
 * Lives here: joining the parts. Must not live here: anything a part can do alone.
 */

import { Call } from "./call.js";
import { Messages } from "./messages.js";
import { listMicrophones, onMicrophonesChanged, openMicrophone } from "./microphone.js";
import { Observer } from "./observer.js";
import { explain } from "./problems.js";
import { Problem, Signalling } from "./signalling.js";
import { Stage } from "./stage.js";
import { Tiles } from "./tiles.js";
import { SetupTimeline } from "./timeline.js";
import { Waveform } from "./waveform.js";

const find = (selector) => document.querySelector(selector);

const signalling = new Signalling();
const stage = new Stage();
const waveform = new Waveform(find("#waveform"));
const tiles = new Tiles(find("#tiles"));
const timeline = new SetupTimeline(find("#timeline"), find("#setup-total"), find("#setup-server"));
const messages = new Messages(find("#compose"), find("#messages"), (text) => call?.send(text));
const speaker = find("#speaker");
const chosenMicrophone = find("#microphone");

let call = null; // the one that is made or talked on; null between calls
let microphone = null;
let observer = null;
let isMuted = false;

// --- a call's way ---------------------------------------------------------------

async function startCall() {
  clearPage();
  stage.show("asking");
  waveform.start();
  const attempt = {}; // stands for the call until there is one, so that Cancel has something to take away
  call = attempt;
  try {
    const stream = await openMicrophone(chosenMicrophone.value);
    if (call !== attempt) return void stopTracks(stream);
    useMicrophone(stream);
    await showMicrophones();
    call = follow(new Call(signalling, stream));
    stage.show("calling");
    await call.start();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    failToCall(problem);
  }
}

function failToCall(problem) {
  const failed = call;
  leaveCall("failed", problem);
  failed?.hangUp?.();
  if (problem.code === "unauthorized") askForKey();
}

/** Join a call's events to the page. Those of a call that has been left are nobody's business any more. */
function follow(made) {
  const on = (type, action) =>
    made.addEventListener(type, ({ detail }) => {
      if (made === call) action(detail);
    });
  on("phase", ({ name, atMs }) => timeline.mark(name, atMs));
  on("live", () => {
    showLive();
    showFact("call", made.callId);
    observer = new Observer(made, signalling, showMeasured);
  });
  on("interrupted", () => stage.show("interrupted"));
  on("resumed", () => showLive("Connected again."));
  on("audio", ({ stream }) => hear(stream));
  on("telemetry", (telemetry) => observer?.take(telemetry));
  on("message", ({ text }) => messages.add("agent", text));
  on("channel", ({ isOpen }) => (messages.isOpen = isOpen));
  on("ended", ({ problem }) => leaveCall(problem ? "failed" : "ended", problem));
  return made;
}

function leaveCall(state, problem) {
  call = null;
  observer?.stop();
  observer = null;
  waveform.stop();
  stopTracks(microphone);
  microphone = null;
  speaker.srcObject = null;
  messages.isOpen = false;
  stage.show(state);
  stage.trouble = problem ? explain(problem) : null;
}

function cancelOrHangUp() {
  const left = call;
  if (left.hangUp) left.hangUp(); // says `ended`, which leaves it
  else leaveCall("ended", null);
}

function clearPage() {
  stage.trouble = null;
  setMuted(false);
  tiles.clear();
  timeline.clear();
  messages.clear();
  for (const fact of document.querySelectorAll("[data-fact]")) fact.textContent = "–";
}

// --- sound ------------------------------------------------------------------------

function hear(stream) {
  speaker.srcObject = stream;
  waveform.listenTo("agent", stream);
}

function useMicrophone(stream) {
  stopTracks(microphone);
  microphone = stream;
  waveform.listenTo("you", stream);
  const [track] = stream.getAudioTracks();
  track.enabled = !isMuted;
  // Fires when it is unplugged, not when we stop it.
  track.addEventListener("ended", () => (stage.trouble = explain(new Problem("microphone_lost", ""))));
}

function stopTracks(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

async function changeMicrophone() {
  if (!microphone || !call?.replaceMicrophone) return;
  try {
    const stream = await openMicrophone(chosenMicrophone.value);
    if (!call?.replaceMicrophone) return void stopTracks(stream);
    await call.replaceMicrophone(stream);
    useMicrophone(stream);
    stage.trouble = null;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    stage.trouble = explain(problem);
  }
}

async function showMicrophones() {
  const current = microphone?.getAudioTracks()[0].getSettings().deviceId ?? chosenMicrophone.value;
  const found = await listMicrophones();
  const options = found.map(({ id, label }) => new Option(label, id, false, id === current));
  if (!found.some(({ id }) => id === "default")) options.unshift(new Option("System default", "", false, !current));
  chosenMicrophone.replaceChildren(...options);
}

function setMuted(muted) {
  isMuted = muted;
  stage.isMuted = muted;
  if (call) call.isMuted = muted;
}

// --- what is seen -------------------------------------------------------------------

function showLive(text) {
  stage.show("live", isMuted ? "Muted. Nobody hears you." : text);
}

function showMeasured({ figures, path, setup }) {
  tiles.show(figures);
  timeline.showServer(setup);
  showFact("relay", path.relay);
  showFact("client", path.client);
  showFact("codec", path.codec);
  showFact("encryption", [path.dtls, path.srtp].filter(Boolean).join(", "));
  showFact("buffer", figures.bufferMs === null ? null : `${figures.bufferMs.toFixed(0)} ms`);
}

function showFact(name, value) {
  find(`[data-fact="${name}"]`).textContent = value || "–";
}

function askForKey() {
  find("#key").value = "";
  find("#key-dialog").showModal();
}

// --- what the person does --------------------------------------------------------------

find("#call").addEventListener("click", () => (call ? cancelOrHangUp() : startCall()));
find("#mute").addEventListener("click", () => {
  setMuted(!isMuted);
  showLive("Connected. You are heard again.");
});
find("#key-cancel").addEventListener("click", () => find("#key-dialog").close());
find("#key-form").addEventListener("submit", () => {
  signalling.key = find("#key").value;
  startCall();
});
chosenMicrophone.addEventListener("change", changeMicrophone);
onMicrophonesChanged(showMicrophones);
addEventListener("pagehide", () => call?.hangUp?.());
showMicrophones();
