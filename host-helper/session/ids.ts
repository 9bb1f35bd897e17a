/** Short random ids: readable, safe as file, container and network namespace names. */

import { randomBytes } from 'node:crypto';

const alphabet = 'abcdefghjkmnpqrstuvwxyz23456789';

/** `prefix-xxxxxxxx`, 40 bits of randomness. */
export function newId(prefix: string): string {
  const letters = Array.from(randomBytes(8), (byte) => alphabet.charAt(byte % alphabet.length));
  return `${prefix}-${letters.join('')}`;
}
