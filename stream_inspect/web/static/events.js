// The list of events, newest first. Cards arrive complete; a changed card is redrawn in place.

import { meaningOf } from "./conditions.js";
import { REMOVED, factsText, utcText, whenText, whyNotLoaded, words } from "./format.js";

const KEPT = 200;
const RETRY_MS = 5000;

export class Events {
  constructor(list, none, count, open) {
    this.list = list;
    this.none = none;
    this.count = count;
    this.open = open;
    this.cards = new Map(); // id -> card, oldest first
    this.items = new Map();
  }

  replace(cards) {
    this.cards.clear();
    this.items.clear();
    this.list.replaceChildren();
    for (const card of [...cards].reverse()) this.take(card, false);
  }

  // Whether the card is a new defect.
  take(card, isFresh = true) {
    const isNew = !this.cards.has(card.id);
    const before = this.cards.get(card.id);
    this.cards.set(card.id, card);
    const item = document.createElement("li");
    item.append(draw(card, before, () => this.open(card.id)));
    if (isNew) {
      if (isFresh) item.firstChild.classList.add("new");
      this.list.prepend(item);
    } else {
      const old = this.items.get(card.id);
      const hadFocus = old.contains(document.activeElement);
      old.replaceWith(item);
      if (hadFocus) item.firstChild.focus();
    }
    this.items.set(card.id, item);
    for (const id of this.cards.keys()) {
      if (this.cards.size <= KEPT) break;
      this.cards.delete(id);
      this.items.get(id).remove();
      this.items.delete(id);
    }
    this.none.hidden = this.cards.size > 0;
    this.count.textContent = this.cards.size ? `last ${this.cards.size}` : "";
    return isNew && card.kind === "defect";
  }

  get(id) {
    return this.cards.get(id);
  }

  // The id of the next defect: +1 older, -1 newer.
  neighbour(id, step) {
    const ids = [...this.cards.values()].filter((card) => card.kind === "defect").map((card) => card.id);
    const place = ids.indexOf(id);
    return place < 0 ? null : (ids[place - step] ?? null);
  }
}

function text(kind, className, content) {
  const node = document.createElement(kind);
  node.className = className;
  node.textContent = content;
  return node;
}

function picture(source, loading) {
  const image = document.createElement("img");
  image.alt = "";
  image.loading = loading;
  image.src = source;
  image.onerror = async () => {
    const missing = text("span", "missing", `picture ${await whyNotLoaded(source)}`);
    image.replaceWith(missing);
    retry(missing, source);
  };
  return image;
}

// A disk that hangs for a while answers later: only what has been removed stays missing.
async function retry(missing, source) {
  while (missing.isConnected && missing.textContent !== `picture ${REMOVED}`) {
    await new Promise((done) => setTimeout(done, RETRY_MS));
    const image = new Image();
    image.alt = "";
    image.src = source;
    const isLoaded = await image.decode().then(() => true, () => false);
    if (isLoaded) missing.replaceWith(image);
    else missing.textContent = `picture ${await whyNotLoaded(source)}`;
  }
}

function draw(card, before, open) {
  const isDefect = card.kind === "defect";
  const node = document.createElement(isDefect ? "button" : "div");
  node.className = `event ${card.severity} ${card.kind} ${card.state}`;
  node.dataset.id = card.id;
  if (isDefect) {
    node.onclick = open;
    const thumb = document.createElement("span");
    thumb.className = "thumb";
    if (card.picture) {
      thumb.append(picture(card.picture, before?.picture ? "eager" : "lazy"));
    } else thumb.append(text("span", "missing", `picture ${card.no_picture}`));
    if (card.clip) thumb.append(text("span", "play", "▶ clip"));
    else if (card.picture) thumb.append(text("span", "no-clip", `clip ${card.no_clip}`));
    node.append(thumb);
  }
  const { title, effect } = meaningOf(card);
  const name = text("span", "name", isDefect ? words(card.name) : title);
  if (isDefect) name.append(text("span", "severity", card.severity));
  else if (card.state === "cleared") name.append(" – cleared");
  const ms = card.state === "cleared" && !isDefect ? card.last_seen_ms : card.first_seen_ms;
  const when = text("span", "when", [whenText(ms), card.camera || card.source].filter(Boolean).join(" · "));
  const reason = [card.reason, card.state === "cleared" ? "" : effect].filter(Boolean).join(" · ");
  when.title = utcText(ms);
  node.append(name, when, text("span", "facts", isDefect ? factsText(card) : reason));
  return node;
}
