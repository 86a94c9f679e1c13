/**
 * The wire's types, for editors and TypeScript. They say what the service's own schema
 * says, and fields that they do not name may come: ignore those.
 */

/** @typedef {[number, number, number]} Vector Metres; right-handed, +Y up, -Z ahead. */
/** @typedef {boolean | number | string} Fact A fact's value. */
/** @typedef {Record<string, string | number>} Slots Values by name of slot. */

/**
 * A thing that a player can name or point at.
 *
 * @typedef {object} SceneObject
 * @property {string} id The game's own; never spoken.
 * @property {string} name What players call it.
 * @property {string[]} [aliases] Other names.
 * @property {string[]} [tags] What kinds of thing it is; packs select by tag.
 * @property {Vector} [position] Its centre.
 * @property {Vector} [size] Width, height and depth of the box around it, centred on
 *   its position and aligned to the axes; without one it is a ball of 0.15 m.
 */

/**
 * Where the player looks or points at one moment.
 *
 * @typedef {object} Ray
 * @property {"gaze" | "left_hand" | "right_hand"} source
 * @property {number} t
 * @property {Vector} origin
 * @property {Vector} direction
 */

/**
 * An action that may have been meant.
 *
 * @typedef {object} Option
 * @property {number} n Its place among the options, from 0; `choose` names it.
 * @property {string} name
 * @property {Slots} slots
 */

/**
 * The server's proof that it knows the secret, and what the client has to prove.
 *
 * @typedef {object} Challenge
 * @property {"challenge"} type
 * @property {string} nonce
 * @property {string} proof
 */

/**
 * What the server takes at most.
 *
 * @typedef {object} Limits
 * @property {number} text_bytes
 * @property {number} audio_bytes
 * @property {number} objects
 * @property {number} rays In one message.
 */

/**
 * The session begins or goes on.
 *
 * @typedef {object} Ready
 * @property {"ready"} type
 * @property {1} version
 * @property {string} session Its name, for `hello.resume`.
 * @property {"game" | "observer"} role
 * @property {boolean} resumed False where the session was not known (any more): send
 *   the scene anew.
 * @property {number} seen Id of the client's last message that arrived; later ones
 *   must be sent again.
 * @property {number} audio_at Sample that the server expects next.
 * @property {string} pack
 * @property {string[]} characters
 * @property {string} character
 * @property {string[]} languages What the pack can be played in.
 * @property {string} language The one that is played in now.
 * @property {"push_to_talk" | "open_mic" | "wake_phrase"} mode
 * @property {string} lexicon Version of what can be said.
 * @property {Limits} limits
 */

/**
 * The scene was taken over, but for what `errors` names.
 *
 * @typedef {object} SceneAck
 * @property {"scene.ack"} type
 * @property {number} id
 * @property {number} t
 * @property {number} rev The scene's revision now.
 * @property {string} lexicon Version of what can be said; changes when the scene's
 *   words do.
 * @property {string[]} errors
 */

/**
 * The player begins to speak.
 *
 * @typedef {object} SpeechStart
 * @property {"speech.start"} type
 * @property {number} id
 * @property {number} t
 * @property {number} at
 */

/**
 * The words so far, while the player speaks.
 *
 * @typedef {object} PartialWords
 * @property {"partial"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {string} stable Will hardly change.
 * @property {string} tail May change.
 */

/**
 * The utterance is over and accepted; it ends in exactly one of `turn`, `cancelled`
 * and `dropped`.
 *
 * @typedef {object} SpeechEnd
 * @property {"speech.end"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {number} at Where the last voiced sound ends.
 * @property {"complete" | "pause" | "instant" | "released" | "limit" | "typed"} why A
 *   complete phrase and a short pause; a long pause; a phrase nothing can follow; the
 *   button; the longest utterance; typed words.
 * @property {boolean} speculated Its words were known before the pause was over.
 */

/**
 * @typedef {object} Word
 * @property {string} text
 * @property {number} start
 * @property {number} end
 * @property {number} confidence
 */

/**
 * What was said.
 *
 * @typedef {object} Transcript
 * @property {"transcript"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {string} text
 * @property {string} language
 * @property {number} confidence
 * @property {Word[]} words With times; empty for typed words.
 */

/**
 * An action for the game.
 *
 * @typedef {object} Intent
 * @property {"intent"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {number} intent Number of the intent in its session; `result` and
 *   `confirm` name it.
 * @property {string} name
 * @property {Slots} slots
 * @property {number} confidence
 * @property {"grammar" | "semantic" | "llm"} tier Who recognised it.
 * @property {[number, number]} span Start and end of the words it came from, as
 *   characters of the transcript.
 * @property {[number, number]} [span_s] The same as audio-sample time; absent for
 *   typed words.
 * @property {number} scene_rev Revision of the scene in which it was understood.
 */

/**
 * A question for the player: which of these was meant? The action comes as `intent`,
 * or first as `confirm`, after `choose`.
 *
 * @typedef {object} Clarify
 * @property {"clarify"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {string} question The character says it, too.
 * @property {Option[]} options
 */

/**
 * A question for the player; the action comes as `intent` after `confirm{yes:true}`.
 *
 * @typedef {object} Confirm
 * @property {"confirm"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {number} intent
 * @property {string} name
 * @property {Slots} slots
 * @property {string} question
 */

/**
 * Something the character says: a sentence.
 *
 * @typedef {object} ReplyDelta
 * @property {"reply.delta"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {string} character
 * @property {string} text
 * @property {string} emotion
 */

/**
 * The reply is over.
 *
 * @typedef {object} ReplyEnd
 * @property {"reply.end"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {number} characters Of the reply's text.
 * @property {number | null} cut_at Characters that the player heard of it, where it
 *   was cut; null where it was not.
 */

/**
 * @typedef {object} Timing
 * @property {string} stage
 * @property {number} start_ms
 * @property {number} ms
 */

/**
 * The utterance was answered.
 *
 * @typedef {object} Turn
 * @property {"turn"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {Timing[]} timings Where the
 *   time went, from the moment the utterance was accepted.
 */

/**
 * The utterance was ended before its turn was.
 *
 * @typedef {object} Cancelled
 * @property {"cancelled"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {"cancel" | "barge_in" | "bye" | "pause" | "reload"} why
 */

/**
 * The utterance was not answered.
 *
 * @typedef {object} Dropped
 * @property {"dropped"} type
 * @property {number} id
 * @property {number} t
 * @property {number} utterance Number of the utterance in its session.
 * @property {"queue_full" | "no_words" | "no_wake_phrase" | "echo" | "failed"} why
 */

/**
 * Inference gives way to the game. Not sent yet.
 *
 * @typedef {object} Governor
 * @property {"governor"} type
 * @property {number} id
 * @property {number} t
 * @property {number} level
 */

/**
 * Something could not be taken in.
 *
 * @typedef {object} Overrun
 * @property {"overrun"} type
 * @property {number} id
 * @property {number} t
 * @property {"audio" | "utterance"} what
 * @property {number} count Lost so far in this session.
 */

/**
 * A message was refused, or something failed.
 *
 * @typedef {object} ServerError
 * @property {"error"} type
 * @property {number} id
 * @property {number} t
 * @property {string} code
 * @property {string} message
 * @property {string} hint
 * @property {boolean} fatal The connection ends.
 * @property {number} of Id of the client's message; 0 where it has none.
 */

/**
 * The server ends the session.
 *
 * @typedef {object} Bye
 * @property {"bye"} type
 * @property {number} id
 * @property {number} t
 * @property {"client" | "shutdown" | "idle" | "replaced"} why
 */

/**
 * What changes in the scene.
 *
 * @typedef {object} SceneChange
 * @property {SceneObject[]} [set] Added or replaced, by id.
 * @property {string[]} [remove] Ids that are gone.
 * @property {Record<string, Fact>} [facts] New or other values, by key.
 */

/**
 * An utterance that will not be answered: the session it belongs to is gone.
 *
 * @typedef {object} Lost
 * @property {number} utterance Its number in the session that is gone.
 */

/**
 * What comes once the session is there.
 *
 * @typedef {(
 *   | SceneAck
 *   | SpeechStart
 *   | PartialWords
 *   | SpeechEnd
 *   | Transcript
 *   | Intent
 *   | Clarify
 *   | Confirm
 *   | ReplyDelta
 *   | ReplyEnd
 *   | Turn
 *   | Cancelled
 *   | Dropped
 *   | Governor
 *   | Overrun
 *   | ServerError
 *   | Bye
 * )} SessionMessage
 */

/**
 * The client's own events.
 *
 * @typedef {object} OwnEvents
 * @property {SessionMessage} message Every message of the session's.
 * @property {Ready} ready
 * @property {object} disconnected The connection is lost; the client dials again.
 * @property {object} restarted The server lost the session. A new one has begun: its
 *   numbers and its time start again, and it was told the scene.
 * @property {Lost} lost
 * @property {import("./errors.js").HeadsideError} closed The session is over for good.
 */

/**
 * @template {SessionMessage["type"]} Type
 * @typedef {Extract<SessionMessage, { type: Type }>} Of
 */

/** @typedef {{ [Type in SessionMessage["type"]]: Of<Type> }} ByType */

/**
 * What `detail` holds, by type of event.
 *
 * @typedef {ByType & OwnEvents} Events
 */

export {};
