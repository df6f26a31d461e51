// The search of the book where it is opened as files: browsers allow no worker there, so the search's
// script runs in a hidden frame. It stands in for https://github.com/squidfunk/iframe-worker, which
// MkDocs Material would load from the network. The name is how Material finds it.
class IFrameWorker extends EventTarget {
  constructor(url) {
    super();
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.appendChild(frame);
    this.frame = frame.contentWindow;
    window.addEventListener("message", event => {
      if (event.source === this.frame) {
        this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      }
    });
    const load = source => new Promise((done, failed) => {
      const script = this.frame.document.createElement("script");
      script.src = new URL(source, document.baseURI);
      script.onload = done;
      script.onerror = failed;
      this.frame.document.body.appendChild(script);
    });
    // A worker's script speaks to its page and loads further scripts, one after the other.
    this.frame.postMessage = message => window.dispatchEvent(
      new MessageEvent("message", { data: message, source: this.frame }));
    this.frame.importScripts = (...sources) =>
      sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve());
    this.ready = load(url);
  }

  postMessage(data) {
    this.ready.then(() => this.frame.dispatchEvent(new MessageEvent("message", { data })));
  }
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker;
  window.Worker = IFrameWorker;
}
