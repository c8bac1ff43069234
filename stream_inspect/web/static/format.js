// Numbers and times for people: local time, with UTC in the tooltip.

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

export const clockText = (ms) => clock.format(ms);
export const utcText = (ms) => new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
export const words = (name) => name.replaceAll("_", " ");

export function whenText(ms) {
  const isToday = new Date(ms).toDateString() === new Date().toDateString();
  return isToday ? clockText(ms) : `${day.format(ms)} ${clockText(ms)}`;
}

const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

export function factsText(card) {
  const facts = [];
  if (card.score !== null) facts.push(`score ${card.score.toFixed(2)}`);
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
