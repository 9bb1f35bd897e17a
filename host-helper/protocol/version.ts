/**
 * The protocol's version and how two sides agree on one. A side speaks every version from `minimum` to `current`;
 * the highest that both speak is used.
 */

export const protocolVersion = { current: 1, minimum: 1 } as const;

/** The version to speak with a peer that offers `minimum..current`, or undefined when the ranges do not meet. */
export function negotiateVersion(peer: { minimum: number; current: number }): number | undefined {
  const highest = Math.min(peer.current, protocolVersion.current);
  const lowest = Math.max(peer.minimum, protocolVersion.minimum);
  return highest >= lowest ? highest : undefined;
}
