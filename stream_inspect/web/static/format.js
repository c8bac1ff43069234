// Numbers and times for people. All times are UTC and say so, as in pictures, clips, events and the log; what that is on
// the clock of this computer is in the tooltip.

const time = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const clock = new Intl.DateTimeFormat("en-GB", { ...time, timeZone: "UTC" });
const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const here = new Intl.DateTimeFormat("en-GB", { ...time, timeZoneName: "short" });

export const clockText = (ms) => `${clock.format(ms)} UTC`;
export const words = (name) => name.replaceAll("_", " ");

export function utcText(ms) {
  const utc = new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
  return `${here.format(ms)} on this computer = ${utc}`;
}

export function whenText(ms) {
  const isToday = new Date(ms).toISOString().slice(0, 10) === new Date().toISOString().slice(0, 10);
  return isToday ? clockText(ms) : `${day.format(ms)} ${clockText(ms)}`;
}

const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

export function factsText(card) {
  const facts = [];
  const frame = card.score_seq === null || card.file ? "" : ` in frame ${card.score_seq}`;
  if (card.file) facts.push(card.file);
  if (card.score !== null) facts.push(`score ${card.score.toFixed(2)}${frame}`);
  if (card.length_mm !== null && card.width_mm !== null)
    facts.push(`${number(card.length_mm)} × ${number(card.width_mm)} mm`);
  return facts.join(" · ");
}

export const REMOVED = "removed";

// Why a picture or a clip could not be loaded: removed, or the service did not answer.
export async function whyNotLoaded(url) {
  const answer = await fetch(url, { headers: { Range: "bytes=0-0" }, cache: "no-store" }).catch(() => null);
  return answer?.status === 404 ? REMOVED : "could not be loaded";
}
