/** Turntable beside the other ways to keep a session: see ../peers.ts. */

import { formatSize } from '../../cli/format/units.ts';
import { measurePeers } from '../peers.ts';
import type { Section } from '../section.ts';

export const peers: Section = {
  name: 'peers',
  text: 'the same turns kept in the ways of others',
  async run({ directory, quick, signal }) {
    const files = quick ? 5_000 : 20_000;
    const measured = await measurePeers({ directory, files, rounds: quick ? 3 : 7, signal });
    return {
      figures: {},
      details: { files, peers: measured },
      tables: [
        {
          title: `Keeping a turn that changed three of ${files} files, with a dev server running`,
          head: ['how', 'ms', 'bytes', 'what it keeps'],
          rows: measured.map((peer) => [peer.name, peer.turnMs, formatSize(peer.bytes), peer.keeps]),
          note: 'Each is carried out for real on the same turn. Only the first and the third bring the dev server back.',
        },
      ],
      ...(quick ? { leftOut: '15,000 of 20,000 files, and 4 of 7 rounds' } : {}),
    };
  },
};
