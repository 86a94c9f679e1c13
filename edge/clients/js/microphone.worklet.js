/** Runs where the sound is made: gathers it into pieces and hands them to the page. */

import { pcm16 } from "./pcm.js";

// 32 ms: what the service's voice detector listens to at once.
const PIECE_SAMPLES = 512;

class Gatherer extends AudioWorkletProcessor {
  #piece = new Float32Array(PIECE_SAMPLES);
  #nGathered = 0;

  /**
   * @param {Float32Array[][]} inputs One, of one channel, mixed down by the browser.
   */
  process([[samples]]) {
    // Nothing is connected while the microphone changes.
    for (const sample of samples ?? []) {
      this.#piece[this.#nGathered] = sample;
      this.#nGathered += 1;
      if (this.#nGathered === PIECE_SAMPLES) this.#hand();
    }
    return true;
  }

  #hand() {
    const pcm = pcm16(this.#piece);
    this.port.postMessage(pcm, [pcm.buffer]);
    this.#nGathered = 0;
  }
}

registerProcessor("headside-microphone", Gatherer);
