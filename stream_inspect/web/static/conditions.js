// What the line's status means: its state, its banners and the state of each camera, all from the one status.

import { clockText, words } from "./format.js";

// By kind: the title, what it means for the parts that pass, and whether they pass without inspection. `lamps`: what
// the lamp of every camera shows, where no camera is named.
const MEANING = {
  no_signal: { title: "no signal", effect: "parts pass without inspection", isBad: true },
  black: { title: "picture is black", effect: "parts pass without inspection", isBad: true },
  frozen: { title: "picture is frozen", effect: "parts pass without inspection", isBad: true },
  not_judged: { title: "not judged", effect: "parts can pass without inspection", isBad: true },
  unaccounted: { title: "frames not accounted for", effect: "parts can pass without inspection", isBad: true },
  not_followed: { title: "finds not followed", effect: "defects pass without being reported", isBad: true },
  model_failed: { title: "model failed", effect: "this worker inspects nothing", isBad: true, lamps: "impaired" },
  prompts_refused: { title: "configuration change rejected", effect: "the earlier values stay in use", isOfLine: true },
  process_down: { title: "process down", effect: "parts pass without inspection", isBad: true, lamps: "bad" },
  config_misfit: { title: "does not fit the picture", effect: "parts pass without inspection", isBad: true },
  demo_models: { title: "demonstration models", effect: "their verdicts mean nothing here", isBad: true },
  bad_frames: { title: "damaged frames", effect: "damaged frames are not inspected" },
  static_find: { title: "static find", effect: "dirt or glare: what passes there is hidden" },
  speed_not_observable: { title: "belt speed not observable", effect: "a defect may be taken for its neighbour" },
  unchanged: { title: "picture does not change", effect: "the belt stands or the camera is frozen: not known" },
  overload: { title: "overload", effect: "fewer looks at each part" },
  output_failing: { title: "output failing", effect: "its alerts are queued and sent later" },
  event_log_stuck: { title: "event log not writable", effect: "alerts wait; inspection continues" },
  alerts_rejected: { title: "alerts rejected", effect: "they were not delivered, and are kept" },
  input_silent: { title: "plant input not read", effect: "what it says of belt, parts and recipe is missing" },
  odometer_unknown: { title: "odometer unknown", effect: "parts are undecided", isBad: true },
  belt_not_judged: { title: "belt not judged", effect: "parts pass without inspection", isBad: true },
  too_few_views: { title: "too few views", effect: "parts are undecided", isBad: true },
  odometer_slip: { title: "odometer slip", effect: "verdicts may be of a neighbouring part", isBad: true },
  belt_not_learned: { title: "belt not learned", effect: "parts pass without being counted", isBad: true },
  static_part: { title: "static part", effect: "dirt, glare or a stuck part: it is not counted" },
  photo_eye_faulty: { title: "photo-eye faulty", effect: "the parts concerned are undecided" },
  recording_stopped: { title: "recording stopped", effect: "new events have no picture and no clip" },
};

// A process that is down, by its name up to the dot: those that judging can do without, or has more than one of. What is
// not listed is needed.
const DOWN = {
  inspect: { title: "process down", effect: "this worker inspects nothing", isBad: true, lamps: "impaired" },
  alerts: { title: "process down", effect: "alerts are queued and sent later" },
  plant: { title: "process down", effect: "plant inputs are not read: parts are undecided", isBad: true },
  recorder: { title: "process down", effect: "new events have no picture and no clip" },
  live: { title: "process down", effect: "no live pictures" },
  web: { title: "process down", effect: "this page may not answer" },
};

function meaning({ kind, source }) {
  const down = kind === "process_down" && DOWN[source.split(".")[0]];
  return down || (MEANING[kind] ??= { title: words(kind), effect: "" });
}

// The process or the output that it is about, where there is no camera.
const place = (condition, line) => condition.camera || (!meaning(condition).isOfLine && condition.source) || line;

// {title, effect} of the event of a condition.
export const meaningOf = ({ name, source }) => meaning({ kind: name, source });

// {kind, text} of the whole line. Green only with a present status that says ok.
export function lineState(status) {
  if (status.state === "unknown")
    return status.silent_s === null
      ? { kind: "waiting", text: "WAITING FOR STATUS" }
      : { kind: "lost", text: `NO STATUS FOR ${status.silent_s} s` };
  if (status.state === "starting" || status.state === "stopping")
    return { kind: "waiting", text: `${status.state.toUpperCase()}${judgingIn(status)}` };
  if (status.conditions.some((one) => meaning(one).isBad)) return { kind: "bad", text: "DEGRADED" };
  if (status.state === "degraded" || status.event_log) return { kind: "impaired", text: "DEGRADED" };
  return { kind: "ok", text: "OK" };
}

// After how long judging begins, as measured at the last start; "" where that is not known.
function judgingIn({ judging_in_s: in_s }) {
  if (in_s === null || in_s === undefined) return "";
  return in_s > 0 ? `: judging in about ${Math.ceil(in_s)} s` : ": takes longer than the last time";
}

// {kind, text, detail} when the service does not answer: one that was stopped, or whose recordings have ended, is no
// alarm.
export function lostState(last, sinceMs) {
  const since = `since ${clockText(sinceMs)}`;
  if (last?.state !== "stopping")
    return { kind: "lost", text: "CONNECTION LOST", detail: `no answer from the service ${since}; retrying` };
  if (last.ended.length === last.cameras.length)
    return { kind: "waiting", text: "FINISHED", detail: `all recordings have been read to their end ${since}` };
  return { kind: "impaired", text: "STOPPED", detail: `the service was stopped: parts pass without inspection ${since}` };
}

// What is wrong, worst first; one banner for a meaning, however many cameras have it.
export function banners(status) {
  const shown = [];
  if (status.silent_s !== null)
    shown.push({
      what: "no status",
      where: status.line,
      detail: `the supervisor has not reported for ${status.silent_s} s; what follows was reported before`,
      kind: "lost",
    });
  const groups = new Map();
  for (const one of status.conditions) groups.set(meaning(one), [...(groups.get(meaning(one)) ?? []), one]);
  const conditions = [...groups.values()].map((group) => banner(group, status.line));
  shown.push(...conditions.filter((one) => one.kind === "bad"), ...conditions.filter((one) => one.kind !== "bad"));
  if (status.event_log)
    shown.push({ what: "event log not readable", where: "page", detail: status.event_log, kind: "impaired" });
  if (status.state === "degraded" && !shown.length)
    shown.push({
      what: "restarting",
      where: status.health?.down.join(", ") || "a process",
      detail: "",
      kind: "impaired",
    });
  return shown;
}

function banner(group, line) {
  const { title, effect, isBad } = meaning(group[0]);
  const since = `since ${clockText(Math.min(...group.map((one) => one.since_ms)))}`;
  const reasons = new Set(group.map((one) => one.detail).filter(Boolean));
  const reason =
    reasons.size > 1 ? group.map((one) => `${place(one, line)}: ${one.detail || "unknown"}`).join("; ") : [...reasons][0];
  return {
    what: title,
    where: group.map((one) => place(one, line)).join(", "),
    detail: [since, reason, effect].filter(Boolean).join(" · "),
    kind: isBad ? "bad" : "impaired",
  };
}

// {kind, text} of one camera: its own conditions, and those of the line that stop or change the judging of all.
export function cameraState(name, status) {
  if (status.state === "unknown") return { kind: "unknown", text: "status unknown" };
  if (status.state === "starting" || status.state === "stopping") return { kind: "unknown", text: status.state };
  if (status.ended.includes(name)) return { kind: "ended", text: "end of the recording" };
  const own = status.conditions.filter((one) => one.camera === name);
  const worst = own.find((one) => meaning(one).isBad) ?? own[0];
  if (worst)
    return {
      kind: meaning(worst).isBad ? "bad" : "impaired",
      text: `${meaning(worst).title} since ${clockText(worst.since_ms)}${worst.detail ? `: ${worst.detail}` : ""}`,
    };
  const everywhere = status.conditions.filter((one) => !one.camera && meaning(one).lamps);
  const first = everywhere.find((one) => meaning(one).lamps === "bad") ?? everywhere[0];
  if (first) return { kind: meaning(first).lamps, text: `${place(first, status.line)}: ${meaning(first).title}` };
  return { kind: "ok", text: "" };
}
