"""What the page's tests ask of a page by JavaScript."""

#: What is in focus: its text or its id, and whether it is a row of the list.
FOCUSED = """() => {
  const focused = document.activeElement, text = focused.textContent.trim();
  const vm = focused.closest("ul.vms > li") ? "VM " : "";
  return vm + (text && focused.tagName !== "SELECT" ? text : focused.id);
}"""

#: Controls without a name.
NAMELESS = """() => [...document.querySelectorAll("button, a, input, select, summary")]
  .filter(each => !each.textContent.trim() && !each.labels?.length && !each.getAttribute("aria-label"))
  .map(each => each.outerHTML)"""

#: Texts below a contrast of 4.5 (3 for large ones) with the ground that lies behind them.
POOR_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const part = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest(".vh, .skip, noscript, svg, script, title")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(numbers(style.color)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
    const least = size >= 24 || (size >= 18.7 && bold) ? 3 : 4.5;
    if (contrast < least) poor.add(`${element.className || element.tagName} ${contrast.toFixed(2)}`);
  }
  return [...poor];
}"""

#: How long the frames take while the page is scrolled from its beginning to its end.
SCROLLING = """async () => {
  const frames = [], long = [];
  const note = (list) => list.getEntries().forEach(each => long.push(each.duration));
  new PerformanceObserver(note).observe({entryTypes: ["longtask"]});
  const end = document.documentElement.scrollHeight - innerHeight;
  let last = performance.now();
  for (let step = 0; step < 240; step++) {
    scrollTo(0, end * (step / 239));
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  frames.sort((a, b) => a - b);
  const at = (part) => Number(frames[Math.floor(frames.length * part)].toFixed(1));
  return {frame_ms: {median: at(0.5), p95: at(0.95), worst: at(0.999)}, long_tasks_ms: long.map(Math.round)};
}"""
