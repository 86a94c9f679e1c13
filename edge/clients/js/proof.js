/**
 * Both sides prove that they know the secret, which never goes over the wire. A proof
 * names the port as it was dialled and both nonces: a program that sits on another port
 * can neither relay one nor use it again.
 */

import { HeadsideError } from "./errors.js";

const HEX_32 = /^[0-9a-f]{64}$/;

/** @param {unknown} value */
export function isHex32(value) {
  return typeof value === "string" && HEX_32.test(value);
}

/** Returns 32 random bytes in hexadecimal. */
export function randomNonce() {
  return hexOf(crypto.getRandomValues(new Uint8Array(32)));
}

/** What the secret is used for; the secret itself cannot be read back from it. */
export class Prover {
  #key;

  /** @param {CryptoKey} key */
  constructor(key) {
    this.#key = key;
  }

  /**
   * Returns a prover for a secret of 64 hexadecimal digits.
   *
   * @param {string} secret
   */
  static async load(secret) {
    if (!isHex32(secret)) {
      throw new HeadsideError(
        "secret_form",
        "The secret is not 64 hexadecimal digits in lower case.",
        "Pass the 32 bytes of the secret file in hexadecimal.",
      );
    }
    if (!globalThis.crypto?.subtle) {
      throw new HeadsideError(
        "insecure_page",
        "This page may not use cryptography, because it is not served securely.",
        "Serve it from http://127.0.0.1, http://localhost or https.",
      );
    }
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const uses = /** @type {KeyUsage[]} */ (["sign", "verify"]);
    const bytes = bytesOf(secret);
    const key = await crypto.subtle.importKey("raw", bytes, algorithm, false, uses);
    return new Prover(key);
  }

  /**
   * Returns a proof of `words` in hexadecimal.
   *
   * @param {(string | number)[]} words
   */
  async prove(...words) {
    const proof = await crypto.subtle.sign("HMAC", this.#key, claimOf(words));
    return hexOf(new Uint8Array(proof));
  }

  /**
   * Returns whether `proof` proves `words`; takes as long wherever they differ.
   *
   * @param {string} proof
   * @param {(string | number)[]} words
   */
  async holds(proof, ...words) {
    return crypto.subtle.verify("HMAC", this.#key, bytesOf(proof), claimOf(words));
  }
}

/** @param {(string | number)[]} words */
function claimOf(words) {
  return new TextEncoder().encode(["headside-1", ...words].join(" "));
}

/** @param {Uint8Array} bytes */
function hexOf(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} hex */
function bytesOf(hex) {
  const bytes = new Uint8Array(hex.length / 2);
  for (let n = 0; n < bytes.length; n++) {
    bytes[n] = Number.parseInt(hex.slice(2 * n, 2 * n + 2), 16);
  }
  return bytes;
}
