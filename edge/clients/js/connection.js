/**
 * One socket, from dialling to its end. Nothing of the game's goes over it before the
 * server has proved that it knows the secret: whoever sits on the port without it gets
 * `hello` and no more. Sessions, which outlive connections, are not known here.
 */

import { unexpected, unproved } from "./errors.js";
import { isHex32, randomNonce } from "./proof.js";

const HANDSHAKE_MS = 5_000;

/**
 * @typedef {object} Dial
 * @property {number} port
 * @property {"game" | "observer"} role
 * @property {import("./proof.js").Prover} prover
 * @property {typeof globalThis.WebSocket} WebSocket
 * @property {object} hello What `hello` says besides.
 */

/** @typedef {import("./errors.js").HeadsideError} Refusal */
/**
 * @typedef {(
 *   | import("./wire.js").Challenge
 *   | import("./wire.js").Ready
 *   | import("./wire.js").SessionMessage
 * )} Parsed
 */

/**
 * @typedef {object} Listener
 * @property {(ready: import("./wire.js").Ready) => void} ready
 * @property {(message: import("./wire.js").SessionMessage) => void} message
 * @property {(refusal: Refusal | null) => void} end Called once. A refusal will not get
 *   better by dialling again; null is a connection that was lost.
 */

export class Connection {
  #dial;
  #listener;
  #socket;
  #nonce = randomNonce();
  #timer;
  /** @type {"hello" | "checking" | "proof" | "open" | "ended"} */
  #phase = "hello";

  /**
   * @param {Dial} dial
   * @param {Listener} listener
   */
  constructor(dial, listener) {
    this.#dial = dial;
    this.#listener = listener;
    this.#timer = setTimeout(() => this.end(null), HANDSHAKE_MS);
    const socket = new dial.WebSocket(`ws://127.0.0.1:${dial.port}/v1`);
    this.#socket = socket;
    socket.addEventListener("open", () => this.#hello());
    socket.addEventListener("message", (event) => this.#take(event.data));
    // Either may come alone where nobody listens on the port.
    socket.addEventListener("error", () => this.end(null));
    socket.addEventListener("close", () => this.end(null));
  }

  /** Whether both sides have proved themselves. */
  get isOpen() {
    return this.#phase === "open";
  }

  /** Bytes that wait to be sent. */
  get bufferedBytes() {
    return this.#socket.bufferedAmount;
  }

  /** @param {string | ArrayBuffer} data */
  send(data) {
    // A socket that is closing throws nothing and sends nothing.
    if (this.#phase === "open") this.#socket.send(data);
  }

  /** @param {Refusal | null} refusal */
  end(refusal) {
    if (this.#phase === "ended") return;
    this.#phase = "ended";
    clearTimeout(this.#timer);
    this.#socket.close();
    this.#listener.end(refusal);
  }

  #hello() {
    if (this.#phase !== "hello") return;
    const { role, hello } = this.#dial;
    const said = { type: "hello", version: 1, role, nonce: this.#nonce, ...hello };
    this.#socket.send(JSON.stringify(said));
  }

  /** @param {unknown} data */
  #take(data) {
    if (this.#phase === "ended") return;
    const message = parse(data);
    if (message === null) this.end(unexpected("something that is no message"));
    else if (this.#phase === "open") this.#deliver(message);
    else if (this.#phase === "hello" && message.type === "challenge") {
      this.#check(message);
    } else if (this.#phase === "proof" && message.type === "ready") {
      clearTimeout(this.#timer);
      this.#phase = "open";
      this.#listener.ready(message);
    } else {
      this.end(unexpected(`\`${message.type}\` in the middle of the handshake`));
    }
  }

  /** @param {Parsed} message */
  #deliver(message) {
    if (message.type === "challenge" || message.type === "ready") {
      this.end(unexpected(`\`${message.type}\` after the handshake`));
    } else {
      this.#listener.message(message);
    }
  }

  /** @param {import("./wire.js").Challenge} challenge */
  async #check(challenge) {
    this.#phase = "checking";
    const { port, role, prover } = this.#dial;
    const words = [port, role, this.#nonce, challenge.nonce];
    const isProved =
      isHex32(challenge.nonce) &&
      isHex32(challenge.proof) &&
      (await prover.holds(challenge.proof, "server", ...words));
    if (this.#phase !== "checking") return;
    if (!isProved) {
      this.end(unproved(port));
      return;
    }
    const proof = await prover.prove("client", ...words);
    if (this.#phase !== "checking") return;
    this.#phase = "proof";
    this.#socket.send(JSON.stringify({ type: "proof", proof }));
  }
}

/**
 * Returns the message in a frame; null where there is none.
 *
 * @param {unknown} data
 * @returns {Parsed | null}
 */
function parse(data) {
  if (typeof data !== "string") return null;
  try {
    const message = JSON.parse(data);
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}
