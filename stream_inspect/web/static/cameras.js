// The live pictures, one tile for each camera.

import { cameraState } from "./conditions.js";

const LATE_MS = 1500; // on its way, longer than the picture itself counts as the present
const HIT_MS = 1500;
const SHAPE = 16 / 9; // until the first picture has arrived
const CAPTION_PX = 46; // the row with the name, and below it the one that says what is wrong, where there is something
const WHY_PX = 26;
const TILE_MIN_PX = 220; // room for the name
const PICTURE_MIN_PX = 225; // with more cameras than fit, the page scrolls

export class Cameras {
  constructor(place) {
    this.place = place;
    this.tiles = new Map();
    new ResizeObserver(() => this.arrange()).observe(place);
  }

  // The number of columns that makes the pictures largest. All tiles have one size, in which pictures of any shape are
  // shown whole, above the row with their name.
  arrange() {
    const captionPx = CAPTION_PX + (this.hasWhy() ? WHY_PX : 0);
    const shape = ({ canvas }) => (canvas.dataset.pictures ? canvas.width / canvas.height : SHAPE);
    const shapes = [...this.tiles.values()].map(shape);
    if (!shapes.length) return;
    const style = getComputedStyle(this.place);
    const gap = parseFloat(style.columnGap);
    const width = this.place.clientWidth - 2 * parseFloat(style.paddingLeft);
    const height = this.height() - 2 * parseFloat(style.paddingTop);
    let best = { fits: false, area: 0 };
    for (let columns = 1; columns <= shapes.length; columns++) {
      const rows = Math.ceil(shapes.length / columns);
      const wide = (width - gap * (columns - 1)) / columns;
      const least = Math.min(PICTURE_MIN_PX, height - captionPx);
      const high = Math.max((height - gap * (rows - 1)) / rows - captionPx, least);
      const widths = shapes.map((shape) => Math.min(wide, high * shape));
      const area = widths.reduce((sum, one, index) => sum + one ** 2 / shapes[index], 0);
      const tall = Math.max(...widths.map((one, index) => one / shapes[index]));
      const fits = (columns === 1 || wide >= TILE_MIN_PX) && rows * (tall + captionPx) + gap * (rows - 1) <= height + 1;
      if (fits < best.fits || (fits === best.fits && area < best.area)) continue;
      best = { fits, area, columns, wide: Math.min(wide, Math.max(...widths, TILE_MIN_PX)), tall };
    }
    this.place.style.gridTemplateColumns = `repeat(${best.columns}, ${Math.floor(best.wide)}px)`;
    this.place.style.gridAutoRows = `${Math.floor(best.tall) + captionPx}px`;
  }

  hasWhy() {
    return [...this.tiles.values()].some((tile) => tile.state.text);
  }

  // What the pictures have: the rest of the window, or all of it where the events are below them.
  height() {
    const main = this.place.parentElement;
    const isBelow = getComputedStyle(main).gridTemplateColumns.split(" ").length === 1;
    return isBelow ? window.innerHeight : this.place.clientHeight;
  }

  set(names, status) {
    for (const [name, tile] of this.tiles) {
      if (!names.includes(name)) {
        tile.figure.remove();
        this.tiles.delete(name);
      }
    }
    for (const name of names) if (!this.tiles.has(name)) this.tiles.set(name, this.make(name));
    for (const [name, tile] of this.tiles) tile.state = cameraState(name, status);
    const arranged = `${names.length} ${this.hasWhy()}`;
    if (this.arranged !== arranged) {
      this.arranged = arranged;
      this.arrange();
    }
  }

  make(name) {
    const figure = document.createElement("figure");
    figure.className = "camera stale";
    figure.dataset.camera = name;
    const picture = document.createElement("div");
    picture.className = "picture";
    const canvas = document.createElement("canvas");
    const notice = document.createElement("div");
    notice.className = "notice";
    notice.textContent = "waiting for the first picture";
    const caption = document.createElement("figcaption");
    const lamp = document.createElement("span");
    lamp.className = "lamp";
    const why = document.createElement("span");
    why.className = "why";
    const age = document.createElement("span");
    age.className = "age";
    const label = document.createElement("span");
    label.className = "label";
    label.textContent = label.title = name;
    caption.append(lamp, label, age, why);
    picture.append(canvas, notice);
    figure.append(picture, caption);
    this.place.append(figure);
    const state = { kind: "unknown", text: "" };
    return { figure, canvas, notice, why, age, state, waiting: null, arrivedMs: null, freshMs: 0, arrivals: [] };
  }

  // Only the newest picture waits: a slow computer skips some, and reading the stream never waits for drawing. What it
  // has not read piles up on the way, and would be shown late as if it were the present.
  async show(part) {
    const tile = this.tiles.get(part.camera);
    if (!tile) return;
    const isDrawing = tile.waiting !== null;
    tile.waiting = part;
    if (isDrawing) return;
    for (let drawn = null; drawn !== tile.waiting; ) {
      drawn = tile.waiting;
      await this.draw(tile, drawn).catch(() => {}); // a damaged picture: the tile goes stale
    }
    tile.waiting = null;
  }

  async draw(tile, part) {
    const bitmap = await createImageBitmap(new Blob([part.jpeg], { type: "image/jpeg" }));
    const { canvas } = tile;
    let isOther = false;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
      isOther = true;
    }
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    tile.arrivedMs = performance.now();
    tile.freshMs = part.fresh_ms;
    tile.arrivals.push(tile.arrivedMs);
    canvas.dataset.pictures = String(Number(canvas.dataset.pictures ?? 0) + 1);
    if (isOther) this.arrange();
  }

  hit(name, severity) {
    const tile = this.tiles.get(name);
    if (!tile) return;
    tile.figure.style.setProperty("--hit", `var(--${severity})`);
    tile.figure.classList.add("hit");
    clearTimeout(tile.hitTimer);
    tile.hitTimer = setTimeout(() => tile.figure.classList.remove("hit"), HIT_MS);
  }

  // `link`: why nothing shown is the present, "" while it is.
  age(link) {
    const nowMs = performance.now();
    for (const tile of this.tiles.values()) {
      const silentMs = tile.arrivedMs === null ? null : nowMs - tile.arrivedMs;
      const isStale = Boolean(link) || silentMs === null || silentMs > tile.freshMs + LATE_MS;
      tile.figure.classList.toggle("stale", isStale);
      tile.figure.classList.toggle("fresh", !isStale);
      tile.arrivals = tile.arrivals.filter((ms) => nowMs - ms < 3000);
      this.light(tile, isStale, link);
      tile.age.textContent = isStale ? "" : `${Math.round(tile.arrivals.length / 3)}/s`;
      if (link) tile.notice.textContent = link;
      else if (silentMs === null) tile.notice.textContent = "waiting for the first picture";
      else if (isStale) tile.notice.textContent = `no picture for ${Math.floor(silentMs / 1000)} s`;
    }
  }

  // The lamp: green only with a present picture of a camera that the status has no complaint about.
  light({ figure, why, state }, isStale, link) {
    const { kind, text } = link ? { kind: "unknown", text: "" } : state;
    figure.dataset.state = kind === "ok" && isStale ? "impaired" : kind;
    why.textContent = why.title = text;
  }
}
