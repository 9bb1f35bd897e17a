import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import {
  createServer as createHttpServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
} from 'node:http';
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isPublicAddress } from '../../../host-helper/authority/addresses.ts';
import type { NetworkAsk } from '../../../host-helper/authority/decider.ts';
import {
  createEgressProxy,
  type EgressProxy,
  type EgressProxyOptions,
} from '../../../host-helper/authority/egress-proxy.ts';
import { parseAbsoluteUrl, parseTarget } from '../../../host-helper/authority/egress-request.ts';
import { isExcepted, outerProxiesFrom } from '../../../host-helper/authority/outer-proxy.ts';
import { silentLogger } from '../../../host-helper/log.ts';
import type { ReachedHost } from '../../../host-helper/protocol/state.ts';

let directory: string;
let cleanups: (() => Promise<unknown> | void)[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'turntable-egress-'));
  cleanups = [];
});
afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  await rm(directory, { recursive: true });
});

interface World {
  readonly proxy: EgressProxy;
  readonly asked: string[];
  readonly refused: string[];
  readonly reached: ReachedHost[];
}

async function world(
  decide: boolean | ((ask: NetworkAsk) => Promise<boolean>),
  more: Partial<EgressProxyOptions> = {},
): Promise<World> {
  const asked: string[] = [];
  const refused: string[] = [];
  const reached: ReachedHost[] = [];
  const proxy = await createEgressProxy({
    socketPath: join(directory, 'egress.sock'),
    sessionId: 's',
    turn: () => 1,
    authority: {
      egress: { allowPrivate: [], outerProxies: { https: undefined, http: undefined } },
      networkRefused: (ask) => refused.push(`${ask.host}:${ask.port}`),
      async decideNetwork(ask) {
        asked.push(`${ask.method} ${ask.host}:${ask.port}`);
        const allowed = typeof decide === 'boolean' ? decide : await decide(ask);
        return { allowed, rule: undefined, reason: 'The test said so.' };
      },
    },
    onReached: (one) => reached.push(one),
    logger: silentLogger,
    ...more,
  });
  cleanups.push(() => proxy.close());
  return { proxy, asked, refused, reached };
}

async function listening<
  T extends { listen(port: number, host: string): unknown; address(): unknown; close(): unknown },
>(server: T): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server as unknown as Server, 'listening');
  cleanups.push(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** Sends `words` as they stand and gives everything that comes back until the end. */
async function raw(proxy: EgressProxy, words: string): Promise<string> {
  const socket = connect(proxy.socketPath);
  socket.write(words);
  return text(socket);
}

/** Opens a tunnel; resolves with the socket and the status line. */
async function tunnel(
  proxy: EgressProxy,
  target: string,
  early = '',
): Promise<{ socket: Socket; head: string }> {
  const socket = connect(proxy.socketPath);
  cleanups.push(() => void socket.destroy());
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n${early}`);
  const [head] = (await once(socket, 'data')) as [Buffer];
  return { socket, head: head.toString() };
}

async function get(
  proxy: EgressProxy,
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; body: string; headers: IncomingMessage['headers'] }> {
  const request = httpRequest({
    socketPath: proxy.socketPath,
    path: url,
    method: options.method ?? 'GET',
    headers: { host: 'lies.example', ...options.headers },
  });
  request.end(options.body);
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, body: await text(answer), headers: answer.headers };
}

function echoServer(): ReturnType<typeof createTcpServer> {
  return createTcpServer((socket) => socket.pipe(socket).on('error', () => undefined));
}

describe('the egress proxy', () => {
  it('listens for its owner alone', async () => {
    const { proxy } = await world(false);
    assert.equal((await stat(proxy.socketPath)).mode & 0o777, 0o600);
  });

  it('tunnels to an allowed host, with what the client sent early, and counts it', async () => {
    const port = await listening(echoServer());
    const { proxy, asked } = await world(true, {
      resolve: () => Promise.resolve(['127.0.0.1']),
      allowPrivate: [`registry.test:${port}`],
    });
    const { socket, head } = await tunnel(proxy, `Registry.TEST.:${port}`, 'early ');
    assert.match(head, /^HTTP\/1\.1 200/);
    socket.write('late');
    let heard = head.slice(head.indexOf('\r\n\r\n') + 4);
    while (heard.length < 10) heard += String(((await once(socket, 'data')) as [Buffer])[0]);
    assert.equal(heard, 'early late');
    assert.deepEqual(asked, [`CONNECT registry.test:${port}`]);
    assert.deepEqual(proxy.takeReached(), [
      { host: 'registry.test', port, method: 'CONNECT', count: 1, allowed: true },
    ]);
    assert.deepEqual(proxy.takeReached(), []);
  });

  it('carries a large transfer both ways unharmed, and the end of each half', async () => {
    const size = 3_000_000;
    const port = await listening(
      createTcpServer(
        { allowHalfOpen: true },
        (socket) => void socket.on('error', () => undefined).pipe(socket),
      ),
    );
    const { proxy } = await world(true, { allowPrivate: [`127.0.0.1:${port}`] });
    const { socket, head } = await tunnel(proxy, `127.0.0.1:${port}`);
    assert.match(head, /200/);
    const back = text(socket);
    socket.end('x'.repeat(size));
    assert.equal((await back).length, size);
  });

  it('answers 403 and says who decided and what to do, without looking the name up', async () => {
    let resolved = 0;
    const resolve = (): Promise<string[]> => {
      resolved++;
      return Promise.resolve(['93.184.216.34']);
    };
    const { proxy, reached } = await world(false, { resolve });
    const { head } = await tunnel(proxy, 'example.org:443');
    assert.match(head, /^HTTP\/1\.1 403 Forbidden/);
    const answer = await get(proxy, 'http://example.org/x');
    assert.equal(answer.status, 403);
    assert.match(answer.body, /Turntable denied this connection: The test said so\..*ask the developer/);
    assert.equal(resolved, 0);
    assert.deepEqual(
      reached.map(({ method, allowed }) => [method, allowed]),
      [
        ['CONNECT', false],
        ['GET', false],
      ],
    );
  });

  for (const target of [
    '127.0.0.1:80',
    'localhost:80',
    'x.localhost:80',
    '[::1]:80',
    '169.254.169.254:80',
    '10.0.0.1:22',
    '2130706433:80',
    '0x7f.1:80',
    '0:80',
    '[::ffff:127.0.0.1]:80',
    '[fe80::1]:80',
    '[64:ff9b::7f00:1]:80',
  ]) {
    it(`refuses ${target} without asking anybody`, async () => {
      const { proxy, asked, refused } = await world(true);
      assert.match((await tunnel(proxy, target)).head, /^HTTP\/1\.1 403/);
      assert.deepEqual(asked, []);
      assert.equal(refused.length, 1);
    });
  }

  it('refuses a name that stands for a private address, allowed as it may be', async () => {
    const { proxy, refused, reached } = await world(true, {
      resolve: () => Promise.resolve(['127.0.0.1', '192.168.1.1']),
    });
    assert.match((await tunnel(proxy, 'rebound.test:443')).head, /^HTTP\/1\.1 403/);
    assert.deepEqual(refused, ['rebound.test:443']);
    assert.deepEqual(
      reached.map(({ allowed }) => allowed),
      [false],
      'nothing left the machine',
    );
  });

  it('looks a name up once and connects to what it checked, so a second answer has no say', async () => {
    const port = await listening(echoServer());
    const answers = [['127.0.0.1'], ['192.0.2.1']];
    let lookups = 0;
    const { proxy } = await world(true, {
      allowPrivate: [`moving.test:${port}`],
      resolve: () => Promise.resolve(answers[lookups++] ?? []),
    });
    assert.match((await tunnel(proxy, `moving.test:${port}`)).head, /^HTTP\/1\.1 200/);
    assert.equal(lookups, 1);
  });

  it('connects to none but the public ones among the addresses of a name', async () => {
    // Nothing listens for 0.0.0.0 at the documentation's addresses: had a private one been tried, the echo would have answered.
    const port = await listening(echoServer());
    const { proxy } = await world(true, {
      resolve: () => Promise.resolve(['127.0.0.1', '93.184.216.34']),
      connectTimeoutMs: 50,
    });
    assert.match((await tunnel(proxy, `mixed.test:${port}`)).head, /^HTTP\/1\.1 50[24]/);
  });

  it('withdraws the question when the client leaves while a person thinks', async () => {
    const left = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const { proxy } = await world(async (ask) => {
      ask.signal?.addEventListener('abort', () => left.resolve());
      asked.resolve();
      await left.promise;
      return true;
    });
    const socket = connect(proxy.socketPath);
    socket.write('CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n');
    await asked.promise;
    socket.destroy();
    await left.promise;
  });

  it('forwards plain HTTP with its body, under the host of the address and not the one claimed', async () => {
    let seen: IncomingMessage | undefined;
    const server = createHttpServer((request, response) => {
      seen = request;
      void text(request).then((body) =>
        response.writeHead(201, { 'x-reply': '1', 'proxy-authenticate': 'no' }).end(`got ${body}`),
      );
    });
    const port = await listening(server);
    const { proxy, asked } = await world(true, {
      resolve: () => Promise.resolve(['127.0.0.1']),
      allowPrivate: [`web.test:${port}`],
    });
    const answer = await get(proxy, `http://web.test:${port}/a?b=c`, {
      method: 'POST',
      body: 'hello',
      headers: {
        'proxy-authorization': 'secret',
        connection: 'x-hop',
        'x-hop': '1',
        'x-stay': '1',
        'x-forwarded-for': '10.0.0.1',
      },
    });
    assert.deepEqual(
      [answer.status, answer.body, answer.headers['x-reply'], answer.headers['proxy-authenticate']],
      [201, 'got hello', '1', undefined],
    );
    assert.equal(seen?.url, '/a?b=c');
    assert.equal(seen.headers.host, `web.test:${port}`);
    assert.equal(seen.headers['x-stay'], '1');
    for (const gone of ['proxy-authorization', 'x-hop', 'x-forwarded-for'])
      assert.equal(seen.headers[gone], undefined, gone);
    assert.deepEqual(asked, [`POST web.test:${port}`]);
  });

  it('decides every request of a kept connection anew, by its address and not its Host header', async () => {
    const port = await listening(createHttpServer((_request, response) => response.end('served')));
    const { proxy, asked } = await world((ask) => Promise.resolve(ask.host === 'a.test'), {
      resolve: () => Promise.resolve(['127.0.0.1']),
      allowPrivate: [`a.test:${port}`, `b.test:${port}`],
    });
    const line = (host: string): string => `GET http://${host}:${port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`;
    const answer = await raw(proxy, line('a.test') + line('b.test'));
    assert.match(answer, /200 OK[^]*served[^]*403 Forbidden/);
    assert.deepEqual(asked, [`GET a.test:${port}`, `GET b.test:${port}`]);
  });

  it('says 502 when the host is not there', async () => {
    const closed = echoServer();
    const port = await listening(closed);
    closed.close();
    const { proxy } = await world(true, { allowPrivate: [`127.0.0.1:${port}`] });
    assert.match((await tunnel(proxy, `127.0.0.1:${port}`)).head, /^HTTP\/1\.1 502/);
    assert.equal((await get(proxy, `http://127.0.0.1:${port}/`)).status, 502);
  });

  for (const [what, words] of [
    ['a request without a full address', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['an https address in plain', 'GET https://x.test/ HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['CONNECT without a port', 'CONNECT example.org HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['something that is not HTTP', '\x16\x03\x01\x00\r\n\r\n'],
  ] as const) {
    it(`answers 400 to ${what}`, async () => {
      const { proxy, asked } = await world(true);
      assert.match(await raw(proxy, words), /^HTTP\/1\.1 400/);
      assert.deepEqual(asked, []);
    });
  }

  it('ends a tunnel through which too much has passed', async () => {
    const port = await listening(echoServer());
    const { proxy } = await world(true, { allowPrivate: [`127.0.0.1:${port}`], maxBytes: 1000 });
    const { socket } = await tunnel(proxy, `127.0.0.1:${port}`);
    socket.on('error', () => undefined);
    socket.write('x'.repeat(2000));
    socket.resume();
    await once(socket, 'close');
  });

  it('cuts open tunnels when it closes', async () => {
    const port = await listening(echoServer());
    const { proxy } = await world(true, { allowPrivate: [`127.0.0.1:${port}`] });
    const { socket } = await tunnel(proxy, `127.0.0.1:${port}`);
    socket.on('error', () => undefined).resume();
    const closed = once(socket, 'close');
    await proxy.close();
    await closed;
    await assert.rejects(stat(proxy.socketPath), { code: 'ENOENT' });
  });
});

describe('the outer proxy', () => {
  /** A forward proxy that notes what it is asked and answers CONNECT with an echo. */
  async function outer(): Promise<{ port: number; heard: string[] }> {
    const heard: string[] = [];
    const server = createHttpServer((request, response) => {
      heard.push(`${request.method} ${request.url} ${request.headers['proxy-authorization'] ?? ''}`);
      response.end('from outside');
    });
    server.on('connect', (request: IncomingMessage, socket: Socket) => {
      heard.push(`CONNECT ${request.url} ${request.headers['proxy-authorization'] ?? ''}`);
      cleanups.push(() => void socket.destroy());
      if (request.url?.startsWith('no')) socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      else {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        socket.pipe(socket);
      }
    });
    return { port: await listening(server), heard };
  }

  const unresolvable = (): Promise<string[]> => Promise.reject(new Error('no DNS here'));

  it('is chained through for tunnels and plain HTTP, with its credentials', async () => {
    const { port, heard } = await outer();
    const outerProxies = outerProxiesFrom({ ALL_PROXY: `http://me:pw@127.0.0.1:${port}` });
    const { proxy } = await world(true, { outerProxies, resolve: unresolvable });
    const { socket, head } = await tunnel(proxy, 'example.org:443');
    assert.match(head, /200/);
    socket.write('ping');
    assert.equal(String(((await once(socket, 'data')) as [Buffer])[0]), 'ping');
    assert.equal((await get(proxy, 'http://example.org/x')).body, 'from outside');
    const credentials = `Basic ${Buffer.from('me:pw').toString('base64')}`;
    assert.deepEqual(heard, [
      `CONNECT example.org:443 ${credentials}`,
      `GET http://example.org/x ${credentials}`,
    ]);
  });

  it('is not asked for what was denied, is private, or stands for something private', async () => {
    const { port, heard } = await outer();
    const outerProxies = outerProxiesFrom({ HTTPS_PROXY: `http://127.0.0.1:${port}` });
    const { proxy } = await world((ask) => Promise.resolve(ask.host !== 'denied.test'), {
      outerProxies,
      resolve: (host) => Promise.resolve([host === 'inside.test' ? '10.1.2.3' : '93.184.216.34']),
    });
    for (const target of ['denied.test:443', '10.0.0.1:443', 'inside.test:443'])
      assert.match((await tunnel(proxy, target)).head, /403/, target);
    assert.deepEqual(heard, []);
  });

  it('gives 502 with its status when it refuses', async () => {
    const { port } = await outer();
    const { proxy } = await world(true, {
      outerProxies: outerProxiesFrom({ https_proxy: `127.0.0.1:${port}` }),
      resolve: unresolvable,
    });
    assert.match((await tunnel(proxy, 'no.test:443')).head, /502[^]*407/);
  });

  it('leaves out what NO_PROXY names', () => {
    const { https } = outerProxiesFrom({
      HTTPS_PROXY: 'http://p:1',
      NO_PROXY: 'a.test, .b.test,c.test:8080,10.0.0.0/8,::1',
    });
    assert.ok(https);
    const excepted = (host: string, port = 443): boolean => isExcepted(https, host, port);
    for (const host of ['a.test', 'x.a.test', 'b.test', 'x.b.test', '10.2.3.4', '::1'])
      assert.equal(excepted(host), true, host);
    for (const host of ['xa.test', 'c.test', '11.0.0.1', 'test']) assert.equal(excepted(host), false, host);
    assert.equal(excepted('c.test', 8080), true);
    assert.throws(() => outerProxiesFrom({ HTTP_PROXY: 'socks5://p:1' }), { code: 'unsupportedHost' });
  });
});

describe('addresses and targets', () => {
  it('takes public addresses alone for public', () => {
    for (const address of [
      '93.184.216.34',
      '1.1.1.1',
      '2606:4700::1111',
      '64:ff9b::5db8:d822',
      '64:ff9b::93.184.216.34',
    ])
      assert.equal(isPublicAddress(address), true, address);
    for (const address of [
      ...[
        '0.0.0.0',
        '10.1.1.1',
        '100.64.0.1',
        '127.9.9.9',
        '169.254.169.254',
        '172.31.0.1',
        '192.168.0.1',
        '198.18.0.1',
        '224.0.0.1',
        '255.255.255.255',
      ],
      ...[
        '::',
        '::1',
        '::ffff:8.8.8.8',
        '::7f00:1',
        '64:ff9b::a00:1',
        '64:ff9b:1::1',
        'fc00::1',
        'fd12::1',
        'fe80::1',
        'fe80::1%eth0',
        'ff02::1',
        '2001:db8::1',
        '2001::1',
        '2002:7f00:1::',
        'example.org',
        '',
      ],
    ]) {
      assert.equal(isPublicAddress(address), false, address);
    }
  });

  it('gives one spelling to one host, and refuses what is none', () => {
    assert.deepEqual(parseTarget('EXAMPLE.org.:443'), { host: 'example.org', port: 443 });
    assert.deepEqual(parseTarget('[2606:4700:0:0::1111]:443'), { host: '2606:4700::1111', port: 443 });
    assert.deepEqual(parseTarget('0x7f000001:1'), { host: '127.0.0.1', port: 1 });
    for (const text of [
      '',
      'a',
      'a:0',
      'a:65536',
      'a:1:2',
      'a b:1',
      '[a]:1',
      'a/b:1',
      'a..b:1',
      '-@b:1',
      '999.1.1.1:1',
      'a\r\nb:1',
    ])
      assert.equal(parseTarget(text), undefined, text);
    assert.equal(parseAbsoluteUrl('http://u:p@a.test/'), undefined);
    assert.equal(parseAbsoluteUrl('ftp://a.test/'), undefined);
    assert.equal(parseAbsoluteUrl('http://A.test:80/x')?.port, 80);
  });
});
