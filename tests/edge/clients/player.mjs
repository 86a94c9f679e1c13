// A game: does what each line of its input says, prints a line for all that happens.

import { subscribe } from "node:diagnostics_channel";
import { createInterface } from "node:readline";

import { Headside } from "../../../edge/clients/js/headside.js";

const sockets = new Set();
subscribe("net.client.socket", ({ socket }) => {
  sockets.add(socket);
  socket.once("close", () => sockets.delete(socket));
});

let isJammed = false;
let wrongBase = 0;

class WebSocket extends globalThis.WebSocket {
  get bufferedAmount() {
    return isJammed ? 1_000_000 : super.bufferedAmount;
  }

  send(data) {
    if (wrongBase && typeof data === "string" && data.includes("scene.patch")) {
      data = JSON.stringify({ ...JSON.parse(data), base: wrongBase });
      wrongBase = 0;
    }
    super.send(data);
  }
}

const headside = new Headside();

const actions = {
  connect: async (options) => void (await headside.connect({ ...options, WebSocket })),
  cut: () => sockets.forEach((socket) => socket.resetAndDestroy()),
  jam: (jams) => void (isJammed = jams),
  misnumber: (base) => void (wrongBase = base),
  hear: (nSamples) => headside.sendAudio(new Float32Array(nSamples)),
  dropped: () => headside.droppedSamples,
  // Without giving anything else its turn in between.
  batch: (calls) => calls.map(([name, ...given]) => call(name, given)).length,
};

function call(name, given) {
  return name in actions ? actions[name](...given) : headside[name](...given);
}

function print(type, detail = {}) {
  console.log(JSON.stringify({ type, ...detail }));
}

headside.on("message", (message) => print(message.type, message));
headside.on("ready", (ready) => print("ready", ready));
headside.on("lost", (lost) => print("lost", lost));
headside.on("disconnected", () => print("disconnected"));
headside.on("restarted", () => print("restarted"));
headside.on("closed", ({ code }) => print("closed", { code }));

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...given] = JSON.parse(line);
  try {
    print("done", { name, value: await call(name, given) });
  } catch ({ code, message, hint }) {
    print("failed", { code, message, hint });
  }
}
process.exit();
