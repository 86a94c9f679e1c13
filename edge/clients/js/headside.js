/**
 * Talks to Headside's service on this device, from a page or from Node.
 *
 * A session outlives its connections: after a lost one the client dials again, sends
 * what did not arrive and is told what it missed. Where the server lost the session
 * too, the client tells it the scene again. Audio is never kept: what the microphone
 * hears while there is no connection is lost, and its time is counted.
 */

import { Connection } from "./connection.js";
import {
  asked,
  HeadsideError,
  isClosed,
  noPort,
  onlyListens,
  noWebSocket,
  notReached,
  replaced,
  usedBefore,
} from "./errors.js";
import { Outbox } from "./outbox.js";
import { pcm16 } from "./pcm.js";
import { Prover } from "./proof.js";
import { Scene } from "./scene.js";

export { HeadsideError };

export const SAMPLE_RATE_HZ = 16_000;

const MAX_BUFFERED_BYTES = 64 * 1024;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;
const BYE_MS = 1_000;
// What a new session is told where the old one never was.
const CARRIED_OVER = new Set(["text", "say"]);

/**
 * @typedef {object} Options
 * @property {number} port Where the service listens.
 * @property {string} secret 64 hexadecimal digits; never sent.
 * @property {"game" | "observer"} [role] `game` unless given.
 * @property {boolean} [results] The game answers each intent with `result`.
 * @property {typeof globalThis.WebSocket} [WebSocket] The platform's unless given.
 */

/** @typedef {import("./wire.js").Events} Events */
/** @typedef {{ type: string } & Record<string, unknown>} Message */
/**
 * @typedef {object} Opening
 * @property {(ready: import("./wire.js").Ready) => void} resolve
 * @property {(error: HeadsideError) => void} reject
 */

/**
 * A session with the service.
 *
 * Events carry the message in `detail`. Each message of the server's is an event of its
 * type, and one of type `message`. The client's own events are `disconnected`,
 * `restarted`, `lost` and `closed`; see `Events`.
 */
export class Headside extends EventTarget {
  /** @type {"idle" | "opening" | "running" | "closing" | "closed"} */
  #state = "idle";
  /** @type {Opening | null} */
  #opening = null;
  /** @type {import("./connection.js").Dial | null} */
  #dial = null;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #nTries = 0;

  /** @type {import("./wire.js").Ready | null} */
  #session = null;
  #isOver = false;
  #outbox = new Outbox();
  #seen = 0;
  /** @type {Set<number>} */
  #openUtterances = new Set();

  #scene = new Scene();
  #wholeSceneId = 0;
  /** @type {Map<string, Message>} */
  #standing = new Map();

  #position = 0;
  #isGap = false;
  #nDropped = 0;

  /**
   * Opens the session; resolves once both sides have proved themselves. What is sent
   * before is kept until then. Rejects where the first try fails, and may then be
   * called again; later the client dials again by itself.
   *
   * @param {Options} options
   * @returns {Promise<import("./wire.js").Ready>}
   */
  async connect({ port, secret, role = "game", results = false, WebSocket }) {
    if (this.#state !== "idle") throw usedBefore();
    const chosen = WebSocket ?? globalThis.WebSocket;
    if (!chosen) throw noWebSocket();
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw noPort(port);
    this.#state = "opening";
    try {
      const prover = await Prover.load(secret);
      const hello = results ? { results } : {};
      this.#dial = { port, role, prover, WebSocket: chosen, hello };
      return await new Promise((resolve, reject) => {
        this.#opening = { resolve, reject };
        this.#open();
      });
    } catch (error) {
      if (this.#state === "opening") this.#state = "idle";
      throw error;
    }
  }

  /** Whether the server hears this client now. */
  get isConnected() {
    return this.#connection?.isOpen ?? false;
  }

  get #isObserver() {
    return this.#dial?.role === "observer";
  }

  /** What the server said of the session; null before there is one. */
  get session() {
    return this.#session;
  }

  /** Now, in the stream's own time: seconds since its first sample. Rays carry it. */
  get audioTime() {
    return this.#position / SAMPLE_RATE_HZ;
  }

  /** Samples that were not sent: the connection was slow or lost. */
  get droppedSamples() {
    return this.#nDropped;
  }

  /**
   * Sends sound: mono, 16 kHz, in pieces of 20 to 40 ms. Returns whether it was sent.
   *
   * @param {Float32Array | Int16Array} samples Floats range from -1 to 1.
   */
  sendAudio(samples) {
    const connection = this.#connection;
    if (!this.#session || this.#isObserver) return false;
    const start = this.#position;
    this.#position += samples.length;
    if (!connection?.isOpen || connection.bufferedBytes > MAX_BUFFERED_BYTES) {
      this.#nDropped += samples.length;
      this.#isGap = true;
      return false;
    }
    if (this.#isGap) {
      this.#send({ type: "audio", at: start });
      this.#isGap = false;
    }
    const pcm = pcm16(samples);
    const nMost = Math.floor(this.#session.limits.audio_bytes / 2);
    for (let from = 0; from < pcm.length; from += nMost) {
      connection.send(pcm.slice(from, from + nMost).buffer);
    }
    return true;
  }

  // Every method below returns the message's id, which an `error` names in `of`; 0 is a
  // message that was not sent.

  /**
   * Replaces the whole scene. Facts stay as they are where none are given.
   *
   * @param {Iterable<import("./wire.js").SceneObject>} objects
   * @param {Record<string, import("./wire.js").Fact>} [facts]
   */
  setScene(objects, facts) {
    this.#scene.replace(objects, facts);
    return this.#sendWholeScene();
  }

  /**
   * Changes the scene. Where the server has another one, it gets the whole.
   *
   * @param {import("./wire.js").SceneChange} change
   */
  patchScene(change) {
    const message = this.#scene.patch(change);
    const id = this.#send(message);
    if (message.type === "scene.set") this.#wholeSceneId = id;
    return id;
  }

  /**
   * Tells where the player looked and pointed; lost where there is no connection.
   *
   * @param {import("./wire.js").Ray[]} rays Since the last time; `t` is `audioTime`.
   */
  rays(rays) {
    return this.isConnected ? this.#send({ type: "rays", rays }) : 0;
  }

  /**
   * Sets one fact.
   *
   * @param {string} key
   * @param {import("./wire.js").Fact} value
   */
  fact(key, value) {
    this.#scene.setFact(key, value);
    return this.#send({ type: "fact", key, value });
  }

  /**
   * The button to talk is pressed or let go.
   *
   * @param {boolean} down
   */
  pushToTalk(down) {
    return this.#sendStanding("ptt", { type: "ptt", down }, down);
  }

  /**
   * Has words taken as if they were spoken.
   *
   * @param {string} text
   */
  text(text) {
    return this.#send({ type: "text", text });
  }

  /**
   * Tells that a character says a line of the game's.
   *
   * @param {string} text
   * @param {string} [character] The one who answers, unless given.
   */
  say(text, character) {
    return this.#send({ type: "say", character, text });
  }

  /**
   * Chooses who answers from now on.
   *
   * @param {string} name
   */
  character(name) {
    return this.#sendStanding("character", { type: "character", name });
  }

  /**
   * Tells what the player writes and speaks from now on.
   *
   * @param {string} language ISO 639-1: one of `session.languages`.
   */
  language(language) {
    return this.#sendStanding("language", { type: "language", language });
  }

  /** Ends what is being answered and drops what waits. */
  cancel() {
    return this.#send({ type: "cancel" });
  }

  /** The headset was taken off: nothing is heard until `resume`. */
  pause() {
    return this.#sendStanding("pause", { type: "pause" });
  }

  /** The headset is on again. */
  resume() {
    return this.#sendStanding("pause", { type: "resume" }, false);
  }

  /**
   * Answers a `confirm`.
   *
   * @param {number} intent Its number.
   * @param {boolean} yes
   */
  confirm(intent, yes) {
    return this.#send({ type: "confirm", intent, yes });
  }

  /**
   * Chooses among the options of a `clarify`.
   *
   * @param {number} utterance Its number.
   * @param {number} n The option's own.
   */
  choose(utterance, n) {
    return this.#send({ type: "choose", utterance, n });
  }

  /**
   * Tells what became of an intent.
   *
   * @param {number} intent Its number.
   * @param {boolean} ok It was done.
   * @param {string} [reason] Why not, in words the character may use.
   */
  result(intent, ok, reason) {
    return this.#send({ type: "result", intent, ok, reason });
  }

  /**
   * Tells that a frame was late; lost where there is no connection.
   *
   * @param {number} late_ms
   */
  frame(late_ms) {
    return this.isConnected ? this.#send({ type: "frame", late: late_ms }) : 0;
  }

  /**
   * Tells how far a reply was played.
   *
   * @param {number} utterance Its number.
   * @param {number} characters Of the reply's text, heard so far.
   * @param {boolean} ended Nothing more of it is played.
   */
  played(utterance, characters, ended) {
    return this.#send({ type: "played", utterance, characters, ended });
  }

  /** Has the pack read anew, between two turns. */
  reloadPack() {
    return this.#send({ type: "pack.reload" });
  }

  /** Ends the session, and resolves when it has ended. */
  async close() {
    if (this.#state === "closed") return;
    const closed = new Promise((resolve) => {
      this.addEventListener("closed", resolve, { once: true });
    });
    if (!this.isConnected || this.#isObserver) {
      this.#finish(asked());
    } else if (this.#state !== "closing") {
      this.#state = "closing";
      this.#send({ type: "bye" });
      this.#timer = setTimeout(() => this.#finish(asked()), BYE_MS);
    }
    await closed;
  }

  /**
   * Calls `listener` with each event of a type; returns what stops that.
   *
   * @template {keyof Events} Type
   * @param {Type} type
   * @param {(detail: Events[Type]) => void} listener
   */
  on(type, listener) {
    /** @param {Event} event */
    const call = (event) => listener(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener(type, call);
    return () => this.removeEventListener(type, call);
  }

  // The connection ---------------------------------------------------------------

  #open() {
    const dial = /** @type {import("./connection.js").Dial} */ (this.#dial);
    const session = this.#isOver || this.#isObserver ? null : this.#session;
    const resume = session ? { resume: session.session, seen: this.#seen } : {};
    this.#connection = new Connection(
      { ...dial, hello: { ...dial.hello, ...resume } },
      {
        ready: (ready) => this.#begin(ready),
        message: (message) => this.#take(message),
        end: (refusal) => this.#lose(refusal),
      },
    );
  }

  /** @param {import("./wire.js").Ready} ready */
  #begin(ready) {
    const isAnew = this.#session !== null && !ready.resumed && !this.#isObserver;
    this.#session = ready;
    this.#isOver = false;
    this.#nTries = 0;
    this.#state = "running";
    if (ready.resumed) this.#goOn(ready);
    else if (isAnew) this.#startAnew();
    else if (!this.#isObserver) this.#sendKept();
    this.#emit("ready", ready);
    if (isAnew) {
      this.#loseUtterances();
      this.#emit("restarted", {});
    }
    this.#opened()?.resolve(ready);
  }

  /** Returns what waits for the first connection, which is settled once. */
  #opened() {
    const opening = this.#opening;
    this.#opening = null;
    return opening;
  }

  /** @param {import("./wire.js").Ready} ready */
  #goOn(ready) {
    this.#isGap = this.#position !== ready.audio_at;
    this.#outbox.acknowledge(ready.seen);
    const isWhole = this.#outbox.isWholeAfter(ready.seen);
    this.#sendKept();
    if (!isWhole) this.#sendKnown();
  }

  #startAnew() {
    const waiting = this.#outbox.unsent;
    this.#outbox = new Outbox();
    this.#seen = 0;
    this.#wholeSceneId = 0;
    this.#position = 0;
    this.#isGap = false;
    this.#sendKnown();
    for (const message of waiting) {
      if (CARRIED_OVER.has(message.type)) this.#send(message);
    }
  }

  /** @param {import("./wire.js").SessionMessage} message */
  #take(message) {
    if (this.#isObserver) {
      this.#emit("message", message);
      this.#emit(message.type, message);
      return;
    }
    // Sent again after a lost connection, as the server cannot know what arrived.
    if (message.id <= this.#seen) return;
    this.#seen = message.id;
    this.#note(message);
    this.#emit("message", message);
    if (message.type === "error" && message.code === "scene_base") {
      // Changes that followed are refused too; one whole scene is enough for all.
      if (message.of > this.#wholeSceneId) this.#sendWholeScene();
      return;
    }
    this.#emit(message.type, message);
    if (message.type === "bye") this.#leave(message.why);
  }

  /** @param {import("./wire.js").SessionMessage} message */
  #note(message) {
    switch (message.type) {
      case "speech.end":
        this.#openUtterances.add(message.utterance);
        break;
      case "turn":
      case "cancelled":
      case "dropped":
        this.#openUtterances.delete(message.utterance);
        break;
      case "error":
        // It arrived, so it is not sent again only to be refused again.
        this.#outbox.acknowledge(message.of);
        break;
    }
  }

  /** @param {string} why */
  #leave(why) {
    this.#isOver = true;
    this.#end(why === "replaced" ? replaced() : null);
  }

  /** @param {HeadsideError | null} refusal */
  #end(refusal) {
    this.#connection?.end(refusal);
  }

  /** @param {HeadsideError | null} refusal */
  #lose(refusal) {
    if (this.#state === "closed") return;
    const opening = this.#opened();
    if (opening) {
      opening.reject(refusal ?? notReached(this.#dial?.port));
    } else if (refusal) {
      this.#finish(refusal);
    } else if (this.#state === "closing") {
      this.#finish(asked());
    } else {
      if (this.#nTries === 0) this.#emit("disconnected", {});
      this.#timer = setTimeout(() => this.#open(), waitBefore(this.#nTries));
      this.#nTries += 1;
    }
  }

  /** @param {HeadsideError} reason */
  #finish(reason) {
    this.#state = "closed";
    clearTimeout(this.#timer);
    this.#end(null);
    this.#opened()?.reject(reason);
    this.#loseUtterances();
    this.#emit("closed", reason);
  }

  #loseUtterances() {
    const lost = [...this.#openUtterances];
    this.#openUtterances.clear();
    for (const utterance of lost) this.#emit("lost", { utterance });
  }

  // What is sent -----------------------------------------------------------------

  /** @param {Message} message */
  #send({ type, ...fields }) {
    if (this.#state === "closed") throw isClosed();
    if (this.#isObserver) throw onlyListens();
    const kept = this.#outbox.add({ type, t: this.audioTime, ...fields });
    if (this.isConnected) this.#put(kept);
    return kept.id;
  }

  /** @param {import("./outbox.js").Kept} kept */
  #put(kept) {
    this.#connection?.send(kept.text);
    kept.isSent = true;
  }

  #sendKept() {
    for (const kept of this.#outbox.all) this.#put(kept);
  }

  #sendWholeScene() {
    this.#wholeSceneId = this.#send(this.#scene.whole());
    return this.#wholeSceneId;
  }

  /**
   * Sends what holds until another of its kind is sent.
   *
   * @param {string} kind
   * @param {Message} message
   * @param {boolean} holds Whether a new session has to be told.
   */
  #sendStanding(kind, message, holds = true) {
    if (holds) this.#standing.set(kind, message);
    else this.#standing.delete(kind);
    return this.#send(message);
  }

  /** Sends all that holds: the scene, its facts, who answers, and so on. */
  #sendKnown() {
    if (this.#scene.isSet) this.#sendWholeScene();
    else {
      for (const [key, value] of Object.entries(this.#scene.facts)) {
        this.#send({ type: "fact", key, value });
      }
    }
    for (const message of this.#standing.values()) this.#send(message);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * Returns how long to wait before dialling again, in milliseconds: twice as long each
 * time, and never the same for all clients.
 *
 * @param {number} nTries
 */
function waitBefore(nTries) {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** nTries);
  return longest * (0.5 + 0.5 * Math.random());
}
