// The times of a run's VMs as a table: all that the drawing shows.

import { table } from "./dom.js";
import { holdText } from "./bars.js";
import { group } from "./rows.js";
import { lasting } from "./text.js";

const HEADS = [
  "VM", "State", "Grade", "Phase, or the one that failed", "Held from", "Held for", "Dead-man's limit", "Snapshots in the window", "Let go by", "Ended after",
];

export function numbersOf(vms, now) {
  const rows = [...vms].sort((a, b) => a.name.localeCompare(b.name)).map((vm) => {
    const hold = vm.holds?.at(-1);
    const text = hold ? holdText(vm, hold, now) : null;
    return [
      vm.name, group(vm), vm.grade ?? "none", vm.problem?.step ?? vm.phase,
      hold ? lasting(hold.start_ms) : "not held", text?.length ?? "–", text?.limit ?? "–",
      text ? `${text.inside} of ${text.all}` : String(vm.snapshots_ms?.length ?? 0),
      hold?.released_by ?? "–", vm.ended_ms === null ? "goes on" : lasting(vm.ended_ms),
    ];
  });
  return table("Times of the VMs, since the run began", HEADS, rows);
}
