// One VM of a run: what went wrong and what to do, its times, and what its grade rests on.

import { get } from "./api.js";
import { reach, windowOf } from "./axis.js";
import { axisBar, holdText, timeBar } from "./bars.js";
import { el, say, table } from "./dom.js";
import { poll } from "./live.js";
import { link } from "./router.js";
import { at, clock, count, fromNow, GRADES, lasting, PHASES, shortName } from "./text.js";

const ENDED_MS = 60_000;

export function vmView(page, run, vm) {
  page.title(vm);
  page.main.replaceChildren(trail(run, vm), el("p", { class: "quiet" }, "The VM is being read."));
  let outcome;
  return poll(async (signal) => {
    const { body, changed } = await get(`runs/${encodeURIComponent(run)}/vms/${encodeURIComponent(vm)}`, { signal });
    if (!changed) return false;
    page.title(shortName(body.vm));
    show(page.main, run, body);
    if (outcome === null && body.outcome) say(`${shortName(body.vm)} has ended: ${body.outcome}.`);
    outcome = body.outcome ?? null;
    return body.phase === "done" ? ENDED_MS : true;
  }, {
    onLink: (state, error) => {
      if (error?.status === 404 || error?.status === 409) page.main.replaceChildren(trail(run, vm), el("h1", null, error.message));
      else page.onLink(state, error);
    },
  });
}

function trail(run, name) {
  return el("nav", { class: "trail", "aria-label": "Where this is" },
    el("a", { href: "#/runs" }, "Runs"), " / ", el("a", { href: link(["runs", run]) }, run), " / ", name);
}

function show(main, run, vm) {
  const open = new Set([...main.querySelectorAll("details[open]")].map((each) => each.dataset.name));
  const held = document.activeElement?.closest?.("[data-name]")?.dataset.name;
  const name = shortName(vm.vm);
  main.replaceChildren(...[
    trail(run, name), el("h1", null, name), el("p", { class: "summary" }, summary(vm)),
    problemBox(vm), warningBox(vm),
    vm.timeline ? times(vm) : null,
    gradeBox(vm), groupBox(vm), pointBox(vm), historyBox(vm), evidenceBox(vm), settingsBox(vm),
  ].filter(Boolean));
  for (const each of main.querySelectorAll("details[data-name]")) each.open = open.has(each.dataset.name);
  if (held) main.querySelector(`[data-name="${CSS.escape(held)}"] summary`)?.focus({ preventScroll: true });
}

function summary(vm) {
  if (vm.outcome) return `${vm.outcome}${vm.grade ? `, ${vm.grade}-consistent` : ""}. Ended ${at(vm.ended_at)} (${fromNow(vm.ended_at)}). ${vm.vm}`;
  const since = vm.started_at ? ` Began ${at(vm.started_at)}.` : "";
  const until = vm.deadline ? ` The phase has to end by ${clock(vm.deadline)}.` : "";
  return `${vm.phase}: ${PHASES[vm.phase] ?? ""}.${since}${until} ${vm.vm}`;
}

function problemBox({ problem }) {
  if (!problem) return null;
  return el("section", { class: "box bad", "aria-labelledby": "wrong" },
    el("h2", { id: "wrong" }, problem.sentence),
    el("dl", { class: "facts" },
      el("dt", null, "Failing step"), el("dd", null, problem.step, problem.generation ? `, attempt ${problem.generation}` : ""),
      el("dt", null, "What to do"), el("dd", { class: "do" }, problem.what_to_do),
      el("dt", null, "Cause"), el("dd", null, el("code", null, problem.cause), problem.code ? [" ", el("code", null, problem.code)] : null,
        ` – more in ${problem.see}`)));
}

function warningBox({ warnings = [] }) {
  if (!warnings.length) return null;
  return el("section", { class: "box warn" }, el("h2", null, count(warnings.length, "warning")),
    el("ul", null, warnings.map((each) => el("li", null, `${each.kind} ${each.name}: `, el("code", null, each.code), ` ${each.detail}`))));
}

// The whole time, and the freeze windows by themselves: they are a thousandth of it, and what matters.
function times(vm) {
  const timeline = { ...vm.timeline, ended_ms: null };
  const created = new Date(vm.timeline.run_created_at).getTime();
  if (vm.ended_at) timeline.ended_ms = new Date(vm.ended_at).getTime() - created;
  const now = Date.now() - created;
  const whole = { ...reach([timeline], now, "all"), from: timeline.phases[0]?.at_ms ?? 0 };
  return el("section", { "aria-labelledby": "times" }, el("h2", { id: "times" }, "Times"),
    timeline.phases.length ? drawing("All of it, since the run began", timeline, whole, now) : null,
    timeline.holds.length ? drawing("The freeze window and the dead-man's limit", timeline, windowOf(timeline, now), now) : null,
    holdTable(timeline, now), phaseTable(timeline, created, now));
}

function drawing(title, timeline, axis, now) {
  return el("figure", { class: "times" }, el("figcaption", null, title),
    el("div", { class: "bar-box tall", "aria-hidden": "true" }, timeBar(timeline, axis, now)), el("div", { class: "axis", "aria-hidden": "true" }, axisBar(axis, innerWidth < 600 ? 4 : 8)));
}

function holdTable(timeline, now) {
  if (!timeline.holds.length) return el("p", null, "Nothing was held.");
  const rows = timeline.holds.map((hold) => {
    const text = holdText(timeline, hold, now);
    return [String(hold.generation), lasting(hold.start_ms), text.length, text.limit, `${text.inside} of ${text.all}`, hold.released_by ?? "not told", hold.anchored ? "yes" : "no"];
  });
  return table("Freeze windows", ["Attempt", "Began after", "Held for", "Dead-man's limit", "Snapshots inside", "Let go by", "Anchored"], rows);
}

function phaseTable(timeline, created, now) {
  const rows = timeline.phases.map((start, place) => {
    const end = timeline.phases[place + 1]?.at_ms ?? (start.phase === "done" ? start.at_ms : now);
    return [start.phase, String(start.generation), clock(created + start.at_ms), lasting(start.at_ms), start.phase === "done" ? "–" : lasting(end - start.at_ms), PHASES[start.phase] ?? ""];
  });
  return table("Phases", ["Phase", "Attempt", "At", "After", "Lasted", "What happens"], rows);
}

function gradeBox(vm) {
  if (!vm.outcome && !vm.grade) return null;
  const why = [...(vm.reasons ?? []), ...(vm.notes ?? [])];
  return el("section", null, el("h2", null, "Grade, and why"),
    el("p", null, vm.grade ? [el("strong", { class: `grade ${vm.grade}` }, vm.grade), ` – ${GRADES[vm.grade] ?? ""}`] : "No recovery point, so no grade."),
    why.length ? el("ul", null, why.map((each) => el("li", null, each))) : null);
}

function groupBox({ group }) {
  if (!group) return null;
  const mark = group.recovery_point;
  const fell = group.members.filter((each) => each.fell).map((each) => el("li", null, `${each.name} fell: ${each.fell}`));
  return el("section", null, el("h2", null, `Group ${group.group}`),
    el("p", null, mark?.one_instant ? `One instant with ${count(mark.members.length - 1, "other VM")}. ${group.sentence}` : group.sentence),
    fell.length ? el("ul", null, fell) : null);
}

function pointBox(vm) {
  const points = vm.recovery_point ?? [];
  if (!points.length) return null;
  return el("section", null, el("h2", null, "Recovery point"),
    el("p", null, el("a", { href: link(["points"], { vm: vm.vm }) }, "All recovery points of this VM")),
    el("ul", null, points.map((each) => el("li", null, el("code", null, each.snapshot ?? each.restore_point), ` ${each.completion_percent} % copied`))));
}

function historyBox(vm) {
  const history = vm.history ?? [];
  if (!history.length) return null;
  const rows = history.map((entry) => [at(entry.at), entry.event, `${entry.from} → ${entry.to}`, String(entry.generation), entry.effects.join(", ") || "nothing"]);
  return fold("history", `History: ${count(history.length, "transition")}`, table("History", ["At", "What happened", "Phase", "Attempt", "What was done"], rows, { hidden: true }));
}

function evidenceBox(vm) {
  if (!vm.evidence) return null;
  const scripts = [["Pre-script", vm.evidence.quiesced?.script], ["Post-script", vm.evidence.resumed?.script]].filter(([, script]) => script);
  return fold("evidence", "Evidence",
    el("p", null, "SHA-256 ", el("code", null, vm.evidence_sha256), ", which the snapshots carry as a tag."),
    scripts.map(([name, script]) => [el("h3", null, `${name}: ${script.path}`),
      el("p", null, `exit code ${script.exit_code ?? "none"}, ${lasting(script.duration_ms)}, ${count(script.attempts, "run")}`),
      el("pre", { tabindex: "0", "aria-label": `What the ${name.toLowerCase()} printed` }, script.output || "(nothing)")]),
    el("h3", null, "All of it"), el("pre", { tabindex: "0", "aria-label": "Evidence as JSON" }, JSON.stringify(vm.evidence, null, 2)));
}

function settingsBox(vm) {
  return vm.guest_processing ? fold("settings", "Guest processing that applied", el("pre", { tabindex: "0", "aria-label": "Settings as JSON" }, JSON.stringify(vm.guest_processing, null, 2))) : null;
}

function fold(name, title, ...children) {
  return el("details", { "data-name": name, class: "fold" }, el("summary", null, title), children);
}
