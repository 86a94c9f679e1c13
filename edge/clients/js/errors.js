/** What the client throws, and gives as the reason of `closed`. */
export class HeadsideError extends Error {
  /**
   * @param {string} code For programs; stays the same.
   * @param {string} message What happened.
   * @param {string} hint What to do.
   */
  constructor(code, message, hint) {
    super(message);
    this.name = "HeadsideError";
    this.code = code;
    this.hint = hint;
  }
}

export function asked() {
  return new HeadsideError("closed", "The game ended the session.", "Nothing to do.");
}

export function isClosed() {
  return new HeadsideError(
    "closed",
    "This session has ended.",
    "Make a new client and connect it.",
  );
}

export function usedBefore() {
  return new HeadsideError(
    "already_connected",
    "This client is connected, or was.",
    "Make a new one for each session.",
  );
}

export function noWebSocket() {
  return new HeadsideError(
    "no_websocket",
    "There is no WebSocket here.",
    "Start Node 20 with --experimental-websocket, or pass one as `WebSocket`.",
  );
}

/** @param {unknown} port */
export function noPort(port) {
  return new HeadsideError(
    "port_form",
    `${port} is not the number of a port.`,
    "Pass the number that `headside serve` prints.",
  );
}

/** @param {number | undefined} port */
export function notReached(port) {
  return new HeadsideError(
    "not_reached",
    `No Headside service answers on port ${port}.`,
    "Start it with `headside serve`; a page also needs --allow-origin with its origin.",
  );
}

export function onlyListens() {
  return new HeadsideError(
    "observer",
    "This client observes: it has nothing to say to the server.",
    "Connect another one in the role `game`.",
  );
}

export function replaced() {
  return new HeadsideError(
    "replaced",
    "Another client took over this session.",
    "Let one client at a time talk for the game.",
  );
}

/** @param {number} port */
export function unproved(port) {
  return new HeadsideError(
    "server_unproved",
    `What listens on port ${port} does not know the secret.`,
    "Another program may hold the port, or the secret is not this server's: " +
      "take port and secret from where Headside was started.",
  );
}

/** @param {string} what */
export function unexpected(what) {
  return new HeadsideError(
    "unexpected_message",
    `The server sent ${what}.`,
    "Use the client that came with the server.",
  );
}
