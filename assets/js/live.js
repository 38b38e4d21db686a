// Server-sent events with a connection that is honest about itself. The browser resumes a dropped
// stream by itself (Last-Event-ID); where the server refused it, we try again with `after`.

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15_000;

export class LiveStream {
  #source = null;
  #timer = 0;
  #wait = FIRST_WAIT;
  #ended = false;

  /** `after` null means from now on. `onFrame(frame)`, `onState("connecting" | "live" | "reconnecting" | "ended")`, `onResume()`. */
  constructor(url, after, { onFrame, onState, onResume }) {
    Object.assign(this, { url, after, onFrame, onState, onResume });
    this.onState("connecting");
    this.#open();
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => {
      if (event.persisted && !this.#ended) this.#open();
    });
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.close();
    const address = new URL(this.url, location.href);
    if (this.after !== null) address.searchParams.set("after", String(this.after));
    const source = new EventSource(address);
    this.#source = source;
    let wasLost = false;

    source.addEventListener("open", () => {
      this.#wait = FIRST_WAIT;
      this.onState("live");
      if (wasLost) this.onResume?.();
      wasLost = false;
    });
    source.addEventListener("frame", (event) => {
      const frame = JSON.parse(event.data);
      if (this.after !== null && frame.sequence <= this.after) return;
      this.after = frame.sequence;
      this.onFrame(frame);
    });
    source.addEventListener("end", () => {
      this.#ended = true;
      this.close();
      this.onState("ended");
    });
    source.addEventListener("error", () => {
      wasLost = true;
      this.onState("reconnecting");
      if (source.readyState !== EventSource.CLOSED) return;
      this.#timer = setTimeout(() => this.#open(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    });
  }
}

const SAID = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  ended: "Finished",
};

export function showConnection(element, state) {
  if (!element) return;
  element.dataset.state = state;
  element.textContent = SAID[state];
}
