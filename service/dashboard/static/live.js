// Follows the stream of events and asks for a refresh when something happened, not too often.

const PAUSE_MS = 1000;
const BUSY_SHARE = 0.2;
const RETRY_MS = 2000;
const LOST = "Connection lost, retrying …";

export class Live {
  #source = null;
  #kinds = new Set();
  #timer = null;
  #lastRefresh = 0;
  #pause = PAUSE_MS;
  #isRefreshing = false;
  #isOver = false;

  /** `refresh(kinds)` shows what is now and resolves to whether nothing more will happen. */
  constructor(main, { refresh, say }) {
    this.main = main;
    this.refresh = refresh;
    this.say = say;
  }

  start() {
    // A browser has six connections per server: only pages that are looked at may hold one.
    document.addEventListener("visibilitychange", () => this.#openOrClose());
    this.#openOrClose();
  }

  #openOrClose() {
    this.#close();
    if (!document.hidden && !this.#isOver) {
      this.#open();
    }
  }

  #open() {
    const { stream, after } = this.main.dataset;
    const source = new EventSource(`${stream}?after=${after}`);
    this.#source = source;
    source.addEventListener("open", () => this.say(""));
    source.addEventListener("message", (message) => {
      const event = JSON.parse(message.data);
      if (this.#concerns(event)) {
        this.#kinds.add(event.kind);
        this.#plan(this.#pause - (performance.now() - this.#lastRefresh));
      }
    });
    source.addEventListener("error", () => {
      this.say(LOST);
      // After an answer that is no stream the browser gives up; after all else it tries again.
      if (source.readyState === EventSource.CLOSED) {
        setTimeout(() => this.#source === source && this.#openAgain(), RETRY_MS);
      }
    });
  }

  /** Logs are shown on the page of a trial alone, and there nothing of other trials. */
  #concerns({ kind, trial_id: trialId }) {
    const { trial } = this.main.dataset;
    return trial === undefined ? kind !== "logs" : kind === "job" || trialId === trial;
  }

  #openAgain() {
    this.#openOrClose();
    // The page itself may know more, such as that its reader must log in again.
    this.#plan(0);
  }

  #close() {
    this.#source?.close();
    this.#source = null;
  }

  #plan(delay) {
    if (this.#timer === null && !this.#isRefreshing && !this.#isOver) {
      this.#timer = setTimeout(() => this.#run(), Math.max(0, delay));
    }
  }

  async #run() {
    const kinds = this.#kinds;
    this.#kinds = new Set();
    this.#timer = null;
    this.#isRefreshing = true;
    const started = performance.now();
    let isLost = false;
    try {
      this.#isOver = await this.refresh(kinds);
    } catch {
      kinds.forEach((kind) => this.#kinds.add(kind));
      isLost = true;
    }
    this.#lastRefresh = performance.now();
    // A job so large that a refresh takes long is refreshed less often.
    const wished = isLost ? RETRY_MS : (this.#lastRefresh - started) / BUSY_SHARE;
    this.#pause = Math.max(PAUSE_MS, wished);
    this.#isRefreshing = false;
    if (this.#isOver) {
      this.#close();
    }
    if (isLost) {
      this.say(LOST);
    } else if (this.#source?.readyState !== EventSource.CONNECTING) {
      this.say("");
    }
    if (this.#kinds.size > 0) {
      this.#plan(this.#pause);
    }
  }
}
