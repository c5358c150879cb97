// Shows times as the reader's clock does, and counts on the durations that still grow.

const TICK_MS = 1000;
const DAY = { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" };
const THIS_YEAR = new Intl.DateTimeFormat(undefined, DAY);
const ANOTHER_YEAR = new Intl.DateTimeFormat(undefined, { ...DAY, year: "numeric" });
const EXACTLY = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

let countedFrom = performance.now();

export function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const isThisYear = at.getFullYear() === new Date().getFullYear();
    time.textContent = (isThisYear ? THIS_YEAR : ANOTHER_YEAR).format(at);
    time.title = EXACTLY.format(at);
  }
}

/** To be called when the page shows durations that the service has just counted. */
export function restartCounting() {
  countedFrom = performance.now();
}

export function countOn() {
  setInterval(() => {
    // The service's clock began, this one only goes on: the two need not agree.
    const since = (performance.now() - countedFrom) / 1000;
    for (const duration of document.querySelectorAll("[data-seconds]")) {
      duration.textContent = words(Number(duration.dataset.seconds) + since);
    }
  }, TICK_MS);
}

function words(seconds) {
  if (seconds < 59.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const minutes = Math.floor(Math.round(seconds) / 60);
  const two = (number) => String(number).padStart(2, "0");
  return minutes < 60
    ? `${minutes} min ${two(Math.round(seconds) % 60)} s`
    : `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}
