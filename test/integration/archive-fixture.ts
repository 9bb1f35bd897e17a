/** Archives through the protocol, as the command line moves them. */

import { z } from 'zod';
import type { Client } from '../../host-helper/protocol/client.ts';
import type { ParamsOf, ResultOf } from '../../host-helper/protocol/methods.ts';
import { FrameDecoder, FrameEncoder, frameType } from '../../host-helper/session/archive-frames.ts';

export async function exported(client: Client, request: ParamsOf<'session/export'>): Promise<Buffer> {
  const { exportId } = await client.request('session/export', request);
  const portions: Buffer[] = [];
  for (;;) {
    const { data, done } = await client.request('export/read', { exportId });
    portions.push(Buffer.from(data, 'base64'));
    if (done) return Buffer.concat(portions);
  }
}

export async function imported(
  client: Client,
  archive: Buffer,
  request: ParamsOf<'session/import'> = {},
): Promise<ResultOf<'import/finish'>> {
  const { importId } = await client.request('session/import', request);
  const portionBytes = 1 << 20;
  for (let at = 0; at < archive.length; at += portionBytes) {
    const data = archive.subarray(at, at + portionBytes).toString('base64');
    await client.request('import/write', { importId, data });
  }
  return await client.request('import/finish', { importId });
}

export async function dumps(client: Client): Promise<boolean> {
  const { features } = await client.request('doctor', {});
  return features.some((feature) => feature.name === 'processes' && feature.status === 'ok');
}

/** The archive with documents of one kind changed, and whole again: what somebody who means harm would write. */
export async function forged(
  archive: Buffer,
  type: number,
  change: (document: Record<string, unknown>) => void,
): Promise<Buffer> {
  const encoder = new FrameEncoder();
  const frames: Buffer[] = [];
  for await (const frame of new FrameDecoder().push(archive)) {
    let { data } = frame;
    if (frame.type === type || frame.type === frameType.end) {
      const document = z.record(z.string(), z.unknown()).parse(JSON.parse(data.toString()));
      if (frame.type === frameType.end) document['digest'] = encoder.digest;
      else change(document);
      data = Buffer.from(JSON.stringify(document));
    }
    frames.push(await encoder.encode(frame.type, data));
  }
  return Buffer.concat(frames);
}
