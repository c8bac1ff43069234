// One event, large: its clip with the judged frame marked, or its picture until the clip is ready.

import { factsText, utcText, whenText, whyNotLoaded, words } from "./format.js";

const element = (id) => document.getElementById(id);
const HALF_A_FRAME_S = 0.002; // a seek to the exact start of a frame may show the previous one

export class Viewer {
  constructor() {
    this.dialog = element("viewer");
    this.video = element("video");
    this.id = null;
    element("viewer-close").onclick = () => this.dialog.close();
    element("judged-frame").onclick = () => this.toJudgedFrame();
    element("replay").onclick = () => this.replay();
    element("newer").onclick = () => this.step(-1);
    element("older").onclick = () => this.step(1);
    this.dialog.addEventListener("close", () => this.stop());
    this.dialog.addEventListener("click", (click) => click.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (key) => this.key(key));
    this.video.onerror = async () => this.showMessage(`Clip ${await whyNotLoaded(this.video.src)}.`);
  }

  show(id, events) {
    this.id = id;
    this.events = events;
    const card = events.get(id);
    element("viewer-name").textContent = words(card.name);
    element("viewer-severity").textContent = card.severity;
    element("viewer-severity").className = `severity ${card.severity}`;
    const facts = element("viewer-facts");
    facts.textContent = [card.camera, whenText(card.first_seen_ms), factsText(card)].filter(Boolean).join(" · ");
    facts.title = utcText(card.first_seen_ms);
    this.showMessage("");
    const still = element("still");
    still.hidden = Boolean(card.clip);
    this.video.hidden = !card.clip;
    if (card.clip) {
      this.video.poster = card.picture ?? "";
      this.video.src = card.clip;
      this.video.play().catch(() => {});
    } else {
      this.stop();
      if (card.picture) still.src = card.picture;
      else still.hidden = true;
      this.showMessage(`${card.picture ? "" : `Picture ${card.no_picture}. `}Clip ${card.no_clip}.`);
    }
    element("judged-frame").disabled = element("replay").disabled = !card.clip;
    element("newer").disabled = events.neighbour(id, -1) === null;
    element("older").disabled = events.neighbour(id, 1) === null;
    if (!this.dialog.open) this.dialog.showModal();
  }

  async toJudgedFrame() {
    this.video.pause();
    const id = this.id;
    const answer = await fetch(`clips/${encodeURIComponent(id)}.json`);
    if (!answer.ok || id !== this.id) return;
    const { judged_time_s: time } = await answer.json();
    if (time === null) return;
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

  stop() {
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }
}
