// The parts of each line: counters whose sum closes, and the last verdicts, newest first.

import { words } from "./format.js";

const COUNTERS = [
  ["in", "in", "Parts that came onto the belt since the service was started = PASS + FAIL + UNDECIDED + on the belt"],
  ["pass", "PASS", "Seen whole often enough, and no defect was found"],
  ["fail", "FAIL", "A defect was confirmed"],
  ["undecided", "UNDECIDED", "Not seen well enough, or not followed; the reason is at each part"],
  ["on_belt", "on the belt", "No verdict yet"],
];
const SIGNS = { PASS: "✓", FAIL: "✕", UNDECIDED: "?" };

export class Parts {
  constructor(place) {
    this.place = place;
    this.rows = new Map(); // line -> {row, figures, list, items}
  }

  set(lines) {
    this.place.hidden = !lines.length;
    for (const [name, { row }] of this.rows) {
      if (lines.some((one) => one.line === name)) continue;
      row.remove();
      this.rows.delete(name);
    }
    for (const { line, counts, last } of lines) {
      if (!this.rows.has(line)) this.rows.set(line, this.make(line));
      const { figures, list, items } = this.rows.get(line);
      for (const [key] of COUNTERS) figures[key].textContent = counts?.[key].toLocaleString() ?? "–";
      show(list, items, last);
    }
  }

  make(line) {
    const row = document.createElement("div");
    row.className = "parts-of-line";
    row.dataset.line = line;
    const title = text("h2", "", "Parts ");
    title.title = line;
    title.append(text("span", "", line));
    const counters = document.createElement("dl");
    const figures = {};
    for (const [key, label, meaning] of COUNTERS) {
      const counter = document.createElement("div");
      counter.className = key;
      counter.title = meaning;
      figures[key] = text("dd", "", "–");
      counter.append(text("dt", "", label), figures[key]);
      counters.append(counter);
    }
    const list = document.createElement("ol");
    list.setAttribute("aria-label", `Last parts of ${line}`);
    list.tabIndex = 0; // it scrolls
    row.append(title, counters, list);
    this.place.append(row);
    return { row, figures, list, items: new Map() };
  }
}

// The same items stay where they are, so that what is read or hovered over does not vanish.
function show(list, items, last) {
  const shown = new Map();
  for (const one of last) {
    const key = JSON.stringify(one);
    shown.set(key, items.get(key) ?? draw(one));
  }
  for (const [key, item] of items) if (!shown.has(key)) item.remove();
  items.clear();
  let place = list.firstChild;
  for (const [key, item] of shown) {
    items.set(key, item);
    if (item === place) place = place.nextSibling;
    else list.insertBefore(item, place);
  }
}

function draw({ part, verdict, why, serial, views, defects }) {
  const item = document.createElement("li");
  item.className = `part ${verdict}`;
  item.dataset.part = part;
  const name = text("span", "name", `${SIGNS[verdict]} ${verdict}`);
  const what = defects.length ? defects.map(words).join(", ") : verdict === "PASS" ? `${views} views` : why;
  item.append(name, text("span", "number", `#${part}`), text("span", "what", what), text("span", "serial", serial));
  item.title = [`part ${part}: ${verdict}`, why, serial && `serial ${serial}`].filter(Boolean).join("\n");
  return item;
}

function text(kind, className, content) {
  const node = document.createElement(kind);
  node.className = className;
  node.textContent = content;
  return node;
}
