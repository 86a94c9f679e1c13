/**
 * Messages that the server may not have: numbered, in order, bounded. The server only
 * says on reconnecting what arrived, so all are kept until then, and where there is no
 * more room the oldest goes first. That one has long been sent in all but one case: a
 * connection that stays away while the game goes on. `isWholeAfter` then says so.
 */

export const MAX_MESSAGES = 1_000;
export const MAX_CHARACTERS = 1_000_000;

/**
 * @typedef {object} Kept
 * @property {number} id
 * @property {string} text For the wire.
 * @property {boolean} isSent It was given to a connection.
 */

export class Outbox {
  /** @type {Kept[]} */
  #kept = [];
  #nCharacters = 0;
  #lastId = 0;
  #lostId = 0;

  /**
   * Returns a message as it is kept, with an id.
   *
   * @param {{ type: string } & Record<string, unknown>} message
   */
  add({ type, ...fields }) {
    this.#lastId += 1;
    const id = this.#lastId;
    const kept = { id, text: JSON.stringify({ type, id, ...fields }), isSent: false };
    this.#kept.push(kept);
    this.#nCharacters += kept.text.length;
    while (this.#isFull) this.#lostId = this.#dropOldest();
    return kept;
  }

  /** All of them, in order. */
  get all() {
    return [...this.#kept];
  }

  /** Those that no connection was given, without their ids and times. */
  get unsent() {
    return this.#kept
      .filter(({ isSent }) => !isSent)
      .map(({ text }) => {
        const { id: _id, t: _t, ...message } = JSON.parse(text);
        return message;
      });
  }

  /**
   * Drops what has arrived.
   *
   * @param {number} seen Id of the last message that did.
   */
  acknowledge(seen) {
    while (this.#kept.length > 0 && this.#kept[0].id <= seen) this.#dropOldest();
  }

  /**
   * Returns whether there was room for all that came after `seen`.
   *
   * @param {number} seen
   */
  isWholeAfter(seen) {
    return this.#lostId <= seen;
  }

  get #isFull() {
    const isLong = this.#nCharacters > MAX_CHARACTERS && this.#kept.length > 1;
    return isLong || this.#kept.length > MAX_MESSAGES;
  }

  /** Returns its id. */
  #dropOldest() {
    const [{ id, text }] = this.#kept.splice(0, 1);
    this.#nCharacters -= text.length;
    return id;
  }
}
