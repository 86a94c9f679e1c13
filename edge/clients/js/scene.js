/** The scene as the game told it: what is sent again where the server lost it. */
export class Scene {
  /** @type {Map<string, import("./wire.js").SceneObject>} */
  #objects = new Map();
  /** @type {Map<string, import("./wire.js").Fact>} */
  #facts = new Map();
  #revision = 0;

  /** Whether the game ever told a whole one. */
  get isSet() {
    return this.#revision > 0;
  }

  get facts() {
    return Object.fromEntries(this.#facts);
  }

  /**
   * Replaces the whole scene; facts stay where none are given.
   *
   * @param {Iterable<import("./wire.js").SceneObject>} objects
   * @param {Record<string, import("./wire.js").Fact>} [facts]
   */
  replace(objects, facts) {
    this.#objects = new Map(Array.from(objects, (object) => [object.id, object]));
    if (facts !== undefined) this.#facts = new Map(Object.entries(facts));
  }

  /** Returns the message that sends the whole scene, as a new revision. */
  whole() {
    this.#revision += 1;
    const objects = [...this.#objects.values()];
    return { type: "scene.set", rev: this.#revision, objects, facts: this.facts };
  }

  /**
   * Changes the scene; returns the message that says so.
   *
   * @param {import("./wire.js").SceneChange} change
   */
  patch({ set = [], remove = [], facts = {} }) {
    const base = this.#revision;
    for (const id of remove) this.#objects.delete(id);
    for (const object of set) this.#objects.set(object.id, object);
    for (const [key, value] of Object.entries(facts)) this.#facts.set(key, value);
    if (!this.isSet) return this.whole();
    this.#revision += 1;
    return { type: "scene.patch", rev: this.#revision, base, set, remove, facts };
  }

  /**
   * @param {string} key
   * @param {import("./wire.js").Fact} value
   */
  setFact(key, value) {
    this.#facts.set(key, value);
  }
}
