// A browser starts no worker from file://. There the site's search runs in a hidden frame instead.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(address) {
      this.onmessage = null;
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.documentElement.append(this.frame);
      this.scope = this.frame.contentWindow;
      this.scope.postMessage = (data) => this.receive(data);
      const script = this.frame.contentDocument.createElement("script");
      script.src = address;
      script.onload = () => this.start();
      this.frame.contentDocument.body.append(script);
    }

    start() {
      const waiting = this.waiting;
      this.waiting = null;
      waiting.forEach((data) => this.postMessage(data));
    }

    // Messages are copies and arrive later, as a worker's do.
    receive(message) {
      const event = new MessageEvent("message", { data: structuredClone(message) });
      setTimeout(() => this.onmessage && this.onmessage(event));
    }

    postMessage(message) {
      if (this.waiting) {
        this.waiting.push(message);
        return;
      }
      const event = new this.scope.MessageEvent("message", { data: structuredClone(message) });
      setTimeout(() => this.scope.dispatchEvent(event));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
