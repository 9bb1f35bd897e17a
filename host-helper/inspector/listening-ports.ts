/**
 * Which TCP ports the processes of a sandbox listen on, read from /proc. Owns nothing; best effort by nature: a process
 * that goes away while it is read listens on nothing.
 */

import { readFile, readdir, readlink } from 'node:fs/promises';

const listenState = '0A';

/** Ports by host pid. All pids must share one network namespace (that of the first). */
export async function listeningPorts(pids: readonly number[]): Promise<Map<number, number[]>> {
  const ports = new Map<number, number[]>();
  const first = pids[0];
  if (first === undefined) return ports;
  const portByInode = new Map<string, number>();
  for (const family of ['tcp', 'tcp6']) {
    for (const [inode, port] of await listeningInodes(`/proc/${first}/net/${family}`))
      portByInode.set(inode, port);
  }
  if (portByInode.size === 0) return ports;
  await Promise.all(
    pids.map(async (pid) => {
      const found = new Set<number>();
      for (const inode of await socketInodes(pid)) {
        const port = portByInode.get(inode);
        if (port !== undefined) found.add(port);
      }
      if (found.size > 0)
        ports.set(
          pid,
          [...found].sort((a, b) => a - b),
        );
    }),
  );
  return ports;
}

async function listeningInodes(path: string): Promise<[string, number][]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const inodes: [string, number][] = [];
  for (const line of text.split('\n').slice(1)) {
    // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …
    const fields = line.trim().split(/\s+/);
    const port = Number.parseInt(fields[1]?.split(':')[1] ?? '', 16);
    const inode = fields[9];
    if (fields[3] === listenState && inode !== undefined && Number.isInteger(port))
      inodes.push([inode, port]);
  }
  return inodes;
}

async function socketInodes(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  const names = await readdir(directory).catch(() => []);
  const links = await Promise.all(names.map((name) => readlink(`${directory}/${name}`).catch(() => '')));
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
}
