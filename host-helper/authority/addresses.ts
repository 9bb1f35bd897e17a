/**
 * Which addresses the egress proxy may connect to: public ones. Loopback, link-local (cloud metadata), private,
 * multicast, unspecified and reserved ranges belong to the host or its network, which the sandbox has no right to.
 * Ranges: the IANA special-purpose registries (RFC 6890 and its updates). It resolves nothing itself.
 */

import { BlockList, isIP, isIPv4 } from 'node:net';

const forbidden = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  forbidden.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  forbidden.addSubnet(network, prefix, 'ipv6');
}

/** Global unicast; everything else of IPv6 is special or unassigned. */
const global = new BlockList();
global.addSubnet('2000::', 3, 'ipv6');
const translated = new BlockList();
translated.addSubnet('64:ff9b::', 96, 'ipv6');

/** True for an address of the public network. Anything that is not an IP address is not. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !forbidden.check(address, 'ipv4');
  if (isIP(address) !== 6 || address.includes('%')) return false;
  if (translated.check(address, 'ipv6')) {
    const embedded = embeddedIPv4(address);
    return embedded !== undefined && isPublicAddress(embedded);
  }
  return global.check(address, 'ipv6') && !forbidden.check(address, 'ipv6');
}

/** The last four bytes of an IPv6 address, as NAT64 carries the real destination. */
function embeddedIPv4(address: string): string | undefined {
  const dotted = /(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  if (dotted?.[1]) return dotted[1];
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split(':');
  const low = Number.parseInt(groups.at(-1) || '0', 16);
  const high = Number.parseInt(groups.at(-2) || '0', 16);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}
