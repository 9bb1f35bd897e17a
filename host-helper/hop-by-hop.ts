/** The headers that belong to one connection and never travel on (RFC 9110, 7.6.1). Shared by everything here that passes HTTP on. */
export const hopByHopHeaders = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
] as const;
