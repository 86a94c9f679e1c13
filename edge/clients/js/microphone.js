/**
 * The page's microphone as the service wants it: mono, 16 kHz, in pieces of 32 ms.
 *
 * The audio context itself runs at 16 kHz, so the browser brings the sound to that
 * rate, with its own low-pass filter: dropping samples by hand would fold what lies
 * above 8 kHz into speech. Chromium and its relatives on headsets do this; a browser
 * that does not refuses to connect the microphone, and `open` says so.
 */

import { HeadsideError, SAMPLE_RATE_HZ } from "./headside.js";

export class Microphone {
  #stream;
  #context;

  /**
   * @param {MediaStream} stream
   * @param {AudioContext} context
   */
  constructor(stream, context) {
    this.#stream = stream;
    this.#context = context;
  }

  /**
   * Asks the player for the microphone and sends what it hears until `close`.
   *
   * Browsers want this to come from a click or a press of a button.
   *
   * @param {import("./headside.js").Headside} headside
   * @param {MediaTrackConstraints} [constraints] Which microphone, and what the browser
   *   does with its sound.
   */
  static async open(headside, constraints = {}) {
    const audio = { channelCount: 1, ...constraints };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    const context = new AudioContext({ sampleRate: SAMPLE_RATE_HZ });
    const microphone = new Microphone(stream, context);
    try {
      await microphone.#start(headside);
    } catch (error) {
      await microphone.close();
      throw error;
    }
    return microphone;
  }

  /** What the browser hears; its `ended` event is an unplugged microphone. */
  get track() {
    return this.#stream.getAudioTracks()[0];
  }

  /** Lets go of the microphone. */
  async close() {
    for (const track of this.#stream.getTracks()) track.stop();
    if (this.#context.state !== "closed") await this.#context.close();
  }

  /** @param {import("./headside.js").Headside} headside */
  async #start(headside) {
    const file = new URL("./microphone.worklet.js", import.meta.url);
    await this.#context.audioWorklet.addModule(file);
    const worklet = new AudioWorkletNode(this.#context, "headside-microphone", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    worklet.port.onmessage = ({ data }) => headside.sendAudio(data);
    source(this.#context, this.#stream).connect(worklet);
    await this.#context.resume();
  }
}

/**
 * @param {AudioContext} context
 * @param {MediaStream} stream
 */
function source(context, stream) {
  try {
    return context.createMediaStreamSource(stream);
  } catch (cause) {
    const error = new HeadsideError(
      "sample_rate",
      `This browser does not bring its microphone to ${SAMPLE_RATE_HZ} Hz.`,
      "Use a browser that does, or resample the sound and pass it to `sendAudio`.",
    );
    error.cause = cause;
    throw error;
  }
}
