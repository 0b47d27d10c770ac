// Recovery points: "the one of last Tuesday" is two steps away.

import { get } from "./api.js";
import { word } from "./bars.js";
import { el, say, unseen } from "./dom.js";
import { link } from "./router.js";
import { at, count, fromNow, GRADES, lasting, shortName } from "./text.js";

const LIMIT = 100;
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: "long" });

export function pointsView(page, query) {
  page.title("Recovery points");
  const list = el("div", null, el("p", { class: "quiet" }, "The recovery points are being read."));
  page.main.replaceChildren(el("h1", null, "Recovery points"), filterForm(query), list);
  const leaving = new AbortController();
  show(page, list, query, leaving.signal);
  return () => leaving.abort();
}

async function show(page, list, query, signal) {
  const shown = el("ul", { class: "cards points", "aria-label": "Recovery points, newest first" });
  const more = el("p", null);
  let number = 0;

  async function next(continuation) {
    const { body } = await get("recovery-points", { query: { ...filterOf(query), limit: LIMIT, continuation }, signal });
    number += body.items.length;
    shown.append(...body.items.map(card));
    if (continuation === "") list.replaceChildren(number || body.continuation ? shown : el("p", null, "There is no such recovery point."), more);
    more.replaceChildren(body.continuation ? el("button", { type: "button", click: () => attempt(body.continuation) }, "More") : `${count(number, "recovery point")}.`);
    say(`${count(number, "recovery point")}${body.continuation ? ", and more" : ""}.`);
  }

  async function attempt(continuation) {
    try {
      await next(continuation);
      page.onLink("live");
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 401 || !error.status) page.onLink("lost", error);
      if (error.status === undefined) console.error(error);
      list.replaceChildren(el("p", { class: "box bad", role: "alert" }, error.message));
    }
  }
  await attempt("");
}

// A day is one in the time zone of whoever looks.
export function filterOf(query) {
  const since = query.day ? new Date(`${query.day}T00:00:00`) : null;
  const until = since ? new Date(since.getFullYear(), since.getMonth(), since.getDate() + 1) : null;
  const written = (date) => (date && !Number.isNaN(date.getTime()) ? date.toISOString() : "");
  return { vm: query.vm, policy: query.policy, grade: query.grade, since: written(since), until: written(until) };
}

function filterForm(query) {
  const field = (name, label, type = "text") => {
    const input = el("input", { id: `p-${name}`, name, type, value: query[name] ?? "", autocomplete: "off", spellcheck: "false" });
    return [el("label", { for: `p-${name}` }, `${label} `), input, " "];
  };
  const grade = el("select", { id: "p-grade", name: "grade" }, ["", ...Object.keys(GRADES)].map((each) => el("option", { value: each, selected: each === (query.grade ?? "") }, each || "any")));
  const form = el("form", { class: "filter", role: "search", "aria-label": "Which recovery points", submit: (event) => {
    event.preventDefault();
    go(Object.fromEntries(new FormData(form)));
  } },
  field("vm", "VM (name or ARM id)"), field("policy", "Policy"), field("day", "Day", "date"), el("label", { for: "p-grade" }, "Grade "), grade, " ", el("button", { type: "submit" }, "Show"),
  el("div", { class: "chips", role: "group", "aria-label": "One of the last days" }, el("button", { type: "button", class: "chip", "aria-pressed": String(!query.day), click: () => go({ ...query, day: "" }) }, "any day"), lastDays().map(({ day, name }) => el("button", {
    type: "button", class: "chip", "aria-pressed": String(query.day === day), click: () => go({ ...Object.fromEntries(new FormData(form)), day }),
  }, name))));
  return form;
}

function go(query) {
  const trimmed = Object.fromEntries(Object.entries(query).map(([name, value]) => [name, String(value).trim()]));
  location.hash = link(["points"], trimmed);
}

// Today, yesterday, and the five days before by their names.
function lastDays(now = new Date()) {
  return [0, 1, 2, 3, 4, 5, 6, 7].map((back) => {
    const date = new Date(now.getFullYear(), now.getMonth(), now.getDate() - back, 12);
    const day = [date.getFullYear(), String(date.getMonth() + 1).padStart(2, "0"), String(date.getDate()).padStart(2, "0")].join("-");
    const name = back === 0 ? "today" : back === 1 ? "yesterday" : `${back === 7 ? "last " : ""}${WEEKDAY.format(date)}`;
    return { day, name };
  });
}

function card(point) {
  const state = point.state && point.state !== "available" ? [" ", el("strong", { class: "bad" }, point.state)] : null;
  const hold = point.hold ? `, on hold${point.hold.until ? ` until ${at(point.hold.until)}` : ""}: ${point.hold.reason}` : "";
  const held = point.freeze_window_ms === null ? "nothing was held" : `held ${lasting(point.freeze_window_ms)}`;
  const warned = point.warnings ? `, ${count(point.warnings, "warning")}` : "";
  const name = point.name ?? shortName(point.vm);
  return el("li", { class: `card ${point.outcome === "degraded" ? "warned" : ""}` },
    el("strong", null, name),
    el("span", { class: "state" }, el("strong", { class: `grade ${word(point.grade)}` }, point.grade), point.outcome === "succeeded" ? null : ` (${point.outcome})`, state),
    el("span", null, el("time", { datetime: point.created_at }, at(point.created_at)), ` (${fromNow(point.created_at)}), ${held}${warned}${hold}`),
    el("span", { class: "quiet" }, point.policy ? `policy ${point.policy}` : "no policy"),
    point.why ? el("p", { class: "what" }, point.why) : null,
    why(point, name));
}

// Why it has its grade, and what it is made of: read when somebody opens it.
function why(point, name) {
  const place = el("div", null, el("p", { class: "quiet" }, "It is being read."));
  let asked = false;
  async function read(event) {
    if (!event.target.open || asked) return;
    asked = true;
    try {
      const { body } = await get(`recovery-points/${encodeURIComponent(point.point)}`);
      place.replaceChildren(
        el("p", null, GRADES[point.grade] ?? ""),
        el("ul", null, (body.reasons ?? []).map((each) => el("li", null, each))),
        el("p", null, el("a", { href: link(["runs", point.run, "vms", point.point]) }, `Evidence, times and history of ${name}`), ", SHA-256 ", el("code", null, body.evidence_sha256 ?? "none")),
        el("p", null, "Made of:"),
        el("ul", null, (body.resources ?? []).map((each) => el("li", null, el("code", null, each), (body.missing ?? []).includes(each) ? el("strong", { class: "bad" }, " missing") : null))));
    } catch (error) {
      asked = false;
      place.replaceChildren(el("p", { class: "bad" }, error.message));
      if (error.status === undefined) console.error(error);
    }
  }
  return el("details", { class: "why", toggle: read }, el("summary", null, "Why this grade", unseen(`: ${name}, ${at(point.created_at)}`)), place);
}
