// One event, large: its clip with its own defect and the judged frame marked, or its picture until the clip is ready.

import { factsText, utcText, whenText, whyNotLoaded, words } from "./format.js";
import { HALF_A_FRAME_S, OwnDefect } from "./own_defect.js";

const element = (id) => document.getElementById(id);

export class Viewer {
  constructor() {
    this.dialog = element("viewer");
    this.video = element("video");
    this.own = new OwnDefect(this.video, element("own"));
    this.id = null;
    this.shown = ""; // the files that are shown now
    element("viewer-close").onclick = () => this.dialog.close();
    element("judged-frame").onclick = () => this.toJudgedFrame();
    element("replay").onclick = () => this.replay();
    element("newer").onclick = () => this.step(-1);
    element("older").onclick = () => this.step(1);
    this.dialog.addEventListener("close", () => this.close());
    this.dialog.addEventListener("click", (click) => click.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (key) => this.key(key));
    this.video.onerror = async () => this.showMessage(`Clip ${await whyNotLoaded(this.video.src)}.`);
  }

  show(id, events) {
    this.id = id;
    this.events = events;
    this.shown = "";
    this.draw(events.get(id));
    if (!this.dialog.open) this.dialog.showModal();
  }

  // Cards have changed, or all of them have arrived again: the clip of the event that is shown may be there now.
  update(cards) {
    const card = cards.find((one) => one.id === this.id);
    if (card && this.dialog.open) this.draw(card);
  }

  draw(card) {
    element("viewer-name").textContent = words(card.name);
    element("viewer-severity").textContent = card.severity;
    element("viewer-severity").className = `severity ${card.severity}`;
    const facts = element("viewer-facts");
    const frame = card.frame && !card.file && `judged frame ${card.frame.join("/")}`;
    const all = [card.camera, whenText(card.first_seen_ms), factsText(card), frame, card.id];
    facts.textContent = all.filter(Boolean).join(" · ");
    facts.title = utcText(card.first_seen_ms);
    element("newer").disabled = this.events.neighbour(card.id, -1) === null;
    element("older").disabled = this.events.neighbour(card.id, 1) === null;
    const files = JSON.stringify([card.id, card.clip, card.clip || card.picture, card.no_picture, card.no_clip]);
    if (files === this.shown) return; // a clip that plays is left alone
    this.shown = files;
    this.drawMedia(card);
  }

  drawMedia(card) {
    this.showMessage("");
    const still = element("still");
    still.hidden = Boolean(card.clip) || !card.picture;
    this.video.hidden = !card.clip;
    element("judged-frame").disabled = element("replay").disabled = !card.clip;
    this.list = card.clip ? this.load(card) : null;
    if (card.clip) {
      this.own.use(null);
      this.video.poster = card.picture ?? "";
      this.video.src = card.clip;
      this.video.play().catch(() => {});
    } else {
      this.stop();
      if (card.picture) still.src = card.picture;
      this.showMessage(`${card.picture ? "" : `Picture ${card.no_picture}. `}Clip ${card.no_clip}.`);
    }
  }

  // The list of the clip's frames, or null.
  async load(card) {
    const answer = await fetch(`clips/${encodeURIComponent(card.id)}.json`).catch(() => null);
    const list = answer?.ok ? await answer.json().catch(() => null) : null;
    if (card.id === this.id) this.own.use(list);
    return list;
  }

  async toJudgedFrame() {
    this.video.pause();
    const id = this.id;
    const time = (await this.list)?.judged_time_s ?? null;
    if (time === null || id !== this.id) return;
    this.video.currentTime = time + HALF_A_FRAME_S;
    this.showMessage("This is the judged frame.");
    this.video.addEventListener("play", () => this.showMessage(""), { once: true });
  }

  replay() {
    this.video.currentTime = 0;
    this.video.play().catch(() => {});
  }

  step(by) {
    const next = this.events.neighbour(this.id, by);
    if (next !== null) this.show(next, this.events);
  }

  key(key) {
    const action = {
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      j: () => this.toJudgedFrame(),
      r: () => this.replay(),
    }[key.key];
    if (!action || key.ctrlKey || key.metaKey || key.altKey) return;
    key.preventDefault();
    action();
  }

  showMessage(text) {
    element("viewer-message").textContent = text;
  }

  close() {
    this.id = null;
    this.stop();
  }

  stop() {
    this.own.use(null);
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }
}
