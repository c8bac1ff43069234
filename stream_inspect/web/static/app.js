// The page: connects while it is visible, shows when the connection is lost, and passes what arrives to its parts.

import { Cameras } from "./cameras.js";
import { banners, lineState, lostState } from "./conditions.js";
import { Events } from "./events.js";
import { clockText, utcText } from "./format.js";
import { readPictures } from "./live.js";
import { Parts } from "./parts.js";
import { Viewer } from "./viewer.js";

const RETRY_MS = 1000;
const SILENT_MS = 6000; // three missed beats of the server
const element = (id) => document.getElementById(id);

const cameras = new Cameras(element("cameras"));
const parts = new Parts(element("parts"));
const viewer = new Viewer();
const events = new Events(element("events"), element("none"), element("count"), (id) => viewer.show(id, events));

let connection = null;
let link = "connecting"; // what is shown instead of the line's state; "" while both streams are heard

// Two streams, each with a clock of its own: a proxy may hold back one of them, and the other proves nothing for it.
class Connection {
  constructor(status) {
    this.abort = new AbortController();
    this.heardMs = { status: performance.now(), pictures: performance.now() };
    this.awaited = new Set(Object.keys(this.heardMs));
    this.show(status);
    this.source = new EventSource("api/events/stream");
    this.source.addEventListener("snapshot", (message) => this.take(message, true));
    this.source.addEventListener("change", (message) => this.take(message, false));
    this.source.onerror = () => this.lose();
    this.pictures();
  }

  // Whether that was the first sign of it.
  heard(stream) {
    this.heardMs[stream] = performance.now();
    return this.awaited.delete(stream);
  }

  take(message, isWhole) {
    const { status, events: cards } = JSON.parse(message.data);
    this.heard("status");
    this.show(status);
    if (isWhole) events.replace(cards);
    else for (const card of cards) if (events.take(card)) cameras.hit(card.camera, card.severity);
    viewer.update(cards);
  }

  async pictures() {
    try {
      for await (const part of readPictures("api/live", this.abort.signal)) {
        if (this.heard("pictures")) this.show(this.status);
        if (part.camera) cameras.show(part);
      }
      this.lose();
    } catch {
      this.lose();
    }
  }

  show(status) {
    this.status = status;
    showLine(status);
    if (!this.awaited.size) showPresent(status);
  }

  get isSilent() {
    return performance.now() - Math.min(...Object.values(this.heardMs)) > SILENT_MS;
  }

  lose() {
    if (connection !== this) return;
    this.close();
    showLost();
    retry();
  }

  close() {
    this.abort.abort();
    this.source.close();
    connection = null;
  }
}

let retryTimer = 0;
function retry() {
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, RETRY_MS);
}

async function connect() {
  if (connection || document.hidden) return;
  try {
    const signal = AbortSignal.timeout(SILENT_MS);
    const answer = await fetch("api/status", { headers: { Accept: "application/json" }, signal });
    if (answer.status === 401) return location.replace("login");
    if (!answer.ok) throw new Error(answer.statusText);
    const status = await answer.json();
    if (!connection && !document.hidden) connection = new Connection(status);
  } catch {
    if (connection || document.hidden) return;
    showLost();
    retry();
  }
}

let lastStatus = null;

// What is true of the line whenever it was reported.
function showLine(status) {
  lastStatus = status;
  element("line").textContent = status.line;
  element("logout").hidden = !status.has_login;
  cameras.set(status.cameras, status);
  parts.set(status.parts);
}

// What is true of it now.
function showPresent(status) {
  lostSinceMs = null;
  setLink("");
  const health = status.health;
  element("figures").classList.toggle("old", !health || status.silent_s !== null);
  element("judged").textContent = health?.judged_fps?.toFixed(1) ?? "–";
  element("captured").textContent = health?.captured_fps?.toFixed(1) ?? "–";
  element("dropped").textContent = health?.dropped?.toLocaleString() ?? "–";
  showBanners(banners(status));
  const { kind, text } = lineState(status);
  showState(kind, text);
  document.title = `${kind === "ok" ? "" : `${text} – `}${status.line} – stream_inspect`;
}

function showBanners(shown) {
  const text = JSON.stringify(shown);
  if (text === showBanners.shown) return;
  showBanners.shown = text;
  element("banners").replaceChildren(
    ...shown.map(({ what, where, detail, kind }) => {
      const banner = document.createElement("div");
      banner.className = `banner ${kind}`;
      const strong = document.createElement("strong");
      strong.textContent = `${where}: ${what.toUpperCase()}`;
      banner.append(strong, detail);
      return banner;
    }),
  );
}

function showState(kind, text) {
  const state = element("state");
  state.className = `state ${kind}`;
  if (state.textContent !== text) state.textContent = text;
}

function setLink(text) {
  link = text;
  cameras.age(link);
  element("parts").classList.toggle("old", Boolean(link));
}

function showUnknown(kind, text) {
  showState(kind, text.toUpperCase());
  document.title = `${text.toUpperCase()} – stream_inspect`;
  element("figures").classList.add("old");
  setLink(text);
}

let lostSinceMs = null;
function showLost() {
  lostSinceMs ??= Date.now();
  const { kind, text, detail } = lostState(lastStatus, lostSinceMs);
  showBanners([{ what: text, where: element("line").textContent.trim() || "page", detail, kind }]);
  showUnknown(kind, text.toLowerCase());
}

function showConnecting() {
  lostSinceMs = null;
  for (const figure of ["judged", "captured", "dropped"]) element(figure).textContent = "–";
  showBanners([]);
  showUnknown("waiting", "connecting");
}

setInterval(() => {
  element("clock").textContent = clockText(Date.now());
  element("clock").title = utcText(Date.now());
  if (connection?.isSilent) connection.lose();
  cameras.age(link);
}, 500);

// A hidden page disconnects: browsers limit the connections to one host, and unseen pictures cost the line time. What
// it showed is of the past by the time it is seen again.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return connect();
  connection?.close();
  showConnecting();
});
connect();
