/**
 * Returns sound as it goes over the wire: signed 16-bit, in the byte order that every
 * platform with a browser or Node on it has, little-endian. Louder than full scale is
 * clipped.
 *
 * @param {Float32Array | Int16Array} samples Floats range from -1 to 1.
 * @returns {Int16Array}
 */
export function pcm16(samples) {
  if (samples instanceof Int16Array) return samples;
  const pcm = new Int16Array(samples.length);
  for (let n = 0; n < samples.length; n++) {
    pcm[n] = Math.max(-32_768, Math.min(32_767, Math.round(samples[n] * 32_768)));
  }
  return pcm;
}
