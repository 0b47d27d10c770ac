// Asking again and again: often while something changes, seldom while nothing does, never while nobody looks.

const SOON_MS = 2_000;
const SELDOM_MS = 15_000;
const LATEST_MS = 60_000;
const SLOWER = 1.5;

// The pause (ms) after an answer: `idle` counts the answers in a row that brought nothing new.
export function pauseAfter(idle, soon = SOON_MS, seldom = SELDOM_MS) {
  return Math.min(seldom, soon * SLOWER ** Math.max(0, idle - 1));
}

// The pause (ms) after the `failures`-th failure in a row; the server's own wish counts, within bounds.
export function pauseAfterFailure(failures, retryAfter = null) {
  const doubled = Math.min(LATEST_MS, SOON_MS * 2 ** Math.min(failures - 1, 10));
  return Math.min(LATEST_MS, Math.max(doubled, retryAfter ?? 0));
}

// Poll `look(signal)`, which gives whether anything changed, or a pause in ms of its own.
// `onLink(state, error)` is told "live", "hidden" or "lost". Returns a function that stops it.
export function poll(look, { onLink = () => {}, soon, seldom } = {}) {
  let timer = null, asking = null, idle = 0, failures = 0, stopped = false;

  async function ask() {
    timer = null;
    if (document.hidden) return onLink("hidden"); // goes on when somebody looks
    asking = new AbortController();
    let pause;
    try {
      const told = await look(asking.signal);
      idle = told === false ? idle + 1 : 0;
      failures = 0;
      pause = typeof told === "number" ? told : pauseAfter(idle, soon, seldom);
      if (!stopped) onLink("live");
    } catch (error) {
      if (stopped || error.name === "AbortError") return;
      failures += 1;
      pause = pauseAfterFailure(failures, error.retryAfter);
      onLink("lost", error);
      if (error.status === undefined) console.error(error); // a defect of the page, not of the line
    } finally {
      asking = null;
    }
    if (!stopped) timer = setTimeout(ask, pause);
  }

  function onVisible() {
    if (document.hidden || stopped || asking) return;
    clearTimeout(timer);
    ask();
  }

  document.addEventListener("visibilitychange", onVisible);
  ask();
  return () => {
    stopped = true;
    clearTimeout(timer);
    asking?.abort();
    document.removeEventListener("visibilitychange", onVisible);
  };
}
