// The page: connects while it is visible, shows when the connection is lost, and passes what arrives to its parts.

import { Cameras } from "./cameras.js";
import { banners, lineState, lostState } from "./conditions.js";
import { Events } from "./events.js";
import { clockText, utcText } from "./format.js";
import { readPictures } from "./live.js";
import { Viewer } from "./viewer.js";

const RETRY_MS = 1000;
const SILENT_MS = 6000; // three missed beats of the server
const element = (id) => document.getElementById(id);

const cameras = new Cameras(element("cameras"));
const viewer = new Viewer();
const events = new Events(element("events"), element("none"), element("count"), (id) => viewer.show(id, events));

let connection = null;

class Connection {
  constructor() {
    this.abort = new AbortController();
    this.heardMs = performance.now();
    this.source = new EventSource("api/events/stream");
    this.source.addEventListener("snapshot", (message) => this.take(message, true));
    this.source.addEventListener("change", (message) => this.take(message, false));
    this.source.onerror = () => this.lose();
    this.pictures();
  }

  take(message, isWhole) {
    this.heardMs = performance.now();
    lostSinceMs = null;
    const { status, events: cards } = JSON.parse(message.data);
    showStatus(status);
    if (isWhole) events.replace(cards);
    else for (const card of cards) if (events.take(card)) cameras.hit(card.camera, card.severity);
    viewer.update(cards);
  }

  async pictures() {
    try {
      for await (const part of readPictures("api/live", this.abort.signal)) {
        this.heardMs = performance.now();
        if (part.camera) cameras.show(part);
      }
      this.lose();
    } catch {
      this.lose();
    }
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
    const answer = await fetch("api/status", { headers: { Accept: "application/json" } });
    if (answer.status === 401) return location.replace("login");
    if (!answer.ok) throw new Error(answer.statusText);
    showStatus(await answer.json());
    if (!connection) connection = new Connection();
  } catch {
    showLost();
    retry();
  }
}

let lastStatus = null;
function showStatus(status) {
  lastStatus = status;
  element("line").textContent = status.line;
  element("logout").hidden = !status.has_login;
  cameras.set(status.cameras, status);
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

let lostSinceMs = null;
function showLost() {
  lostSinceMs ??= Date.now();
  const { kind, text, detail } = lostState(lastStatus, lostSinceMs);
  showState(kind, text);
  document.title = `${text} – stream_inspect`;
  element("figures").classList.add("old");
  showBanners([{ what: text.toLowerCase(), where: element("line").textContent.trim() || "page", detail, kind }]);
  cameras.age(text.toLowerCase());
}

setInterval(() => {
  element("clock").textContent = clockText(Date.now());
  element("clock").title = utcText(Date.now());
  if (connection && performance.now() - connection.heardMs > SILENT_MS) connection.lose();
  cameras.age(connection ? "" : element("state").textContent.toLowerCase());
}, 500);

// A hidden page disconnects: browsers limit the connections to one host, and unseen pictures cost the line time.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) connection?.close();
  else connect();
});
connect();
