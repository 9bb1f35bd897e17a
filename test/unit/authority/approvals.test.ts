import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  createApprovals,
  type ApprovalRequest,
  type Approvals,
} from '../../../host-helper/authority/approvals.ts';
import type { AuditRecord } from '../../../host-helper/authority/audit.ts';
import { silentLogger } from '../../../host-helper/log.ts';
import { TurntableError } from '../../../host-helper/protocol/errors.ts';
import type { Approval } from '../../../host-helper/protocol/state.ts';

const subject: Approval['subject'] = {
  kind: 'exec',
  program: '/usr/bin/git',
  argv: ['git', 'push'],
  cwd: '/w',
  pid: 1,
};

interface Bench {
  readonly approvals: Approvals;
  readonly shown: Approval[];
  readonly kinds: string[];
  failAudit: boolean;
  /** The next approval that is shown as pending. */
  pending(): Promise<Approval>;
}

function bench(pendingLimit?: number): Bench {
  const shown: Approval[] = [];
  const kinds: string[] = [];
  const waiting: ((approval: Approval) => void)[] = [];
  let taken = 0;
  const made: Bench = {
    shown,
    kinds,
    failAudit: false,
    approvals: createApprovals({
      dispatch(approval) {
        shown.push(approval);
        if (approval.state === 'pending') waiting.shift()?.(approval);
      },
      audit: {
        append(kind, sessionId, data): Promise<AuditRecord> {
          if (made.failAudit) return Promise.reject(new TurntableError('diskFull', 'full'));
          kinds.push(kind);
          return Promise.resolve({
            sequence: 0,
            at: 0,
            kind,
            ...(sessionId ? { sessionId } : {}),
            data,
            previous: '',
            hash: '',
          });
        },
      },
      logger: silentLogger,
      ...(pendingLimit === undefined ? {} : { pendingLimit }),
    }),
    pending() {
      const already = shown.filter((approval) => approval.state === 'pending')[taken++];
      return already ? Promise.resolve(already) : new Promise((resolve) => waiting.push(resolve));
    },
  };
  return made;
}

function request(more: Partial<ApprovalRequest> = {}): ApprovalRequest {
  return { sessionId: 's', turn: 1, rule: 'pushing asks', grantKey: 'k', covers: 'git push', ...more };
}

describe('the human queue', () => {
  it('lets the caller go on when a person says yes, once, leaving no grant', async () => {
    const { approvals, pending, kinds } = bench();
    const outcome = approvals.request(subject, request());
    const { id } = await pending();
    const approval = await approvals.answer(id, 'allow', 'once', 'ada');
    assert.deepEqual(
      { ...(await outcome), approvalId: '' },
      { allowed: true, scope: 'once', reason: 'Allowed by ada.', approvalId: '' },
    );
    assert.equal(approval.state, 'allowed');
    assert.equal(approval.answeredBy, 'ada');
    assert.deepEqual(approvals.grants(), []);
    assert.deepEqual(kinds, ['approval.asked', 'approval.answered']);
  });

  it('denies with the reason that the person gave', async () => {
    const { approvals, pending } = bench();
    const outcome = approvals.request(subject, request());
    await approvals.answer((await pending()).id, 'deny', undefined, 'ada', 'not on a Friday');
    assert.equal((await outcome).allowed, false);
    assert.equal((await outcome).reason, 'not on a Friday');
  });

  it('takes the first answer and refuses later ones, also while the first is being written', async () => {
    const { approvals, pending, kinds } = bench();
    const outcome = approvals.request(subject, request());
    const { id } = await pending();
    const answers = await Promise.allSettled([
      approvals.answer(id, 'deny', 'once', 'ada'),
      approvals.answer(id, 'allow', 'once', 'eve'),
    ]);
    assert.deepEqual(
      answers.map((answer) => answer.status),
      ['fulfilled', 'rejected'],
    );
    assert.deepEqual(kinds, ['approval.asked', 'approval.answered']);
    assert.equal((await outcome).allowed, false);
    await assert.rejects(approvals.answer(id, 'allow', 'once', 'eve'), { code: 'approvalSettled' });
  });

  it('knows nothing of an approval it never made', async () => {
    await assert.rejects(bench().approvals.answer('nope', 'allow', 'once', 'eve'), {
      code: 'approvalNotFound',
    });
  });

  it('takes no answer for a no, when the time is up', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    const { approvals, pending, shown } = bench();
    const outcome = approvals.request(subject, request({ timeoutMs: 1000 }));
    const { id } = await pending();
    t.mock.timers.tick(1000);
    assert.equal((await outcome).allowed, false);
    assert.equal(shown.at(-1)?.state, 'expired');
    await assert.rejects(approvals.answer(id, 'allow', 'once', 'ada'), { code: 'approvalSettled' });
  });

  it('withdraws what a caller asked that is gone', async () => {
    const { approvals, pending, shown } = bench();
    const gone = new AbortController();
    const outcome = approvals.request(subject, request({ signal: gone.signal }));
    const { id } = await pending();
    gone.abort();
    assert.equal((await outcome).allowed, false);
    assert.equal(shown.at(-1)?.state, 'withdrawn');
    await assert.rejects(approvals.answer(id, 'allow', 'session', 'ada'), { code: 'approvalSettled' });
    assert.deepEqual(approvals.grants(), []);
  });

  it('makes no grant of an answer that came while the caller left', async () => {
    const { approvals, pending, kinds } = bench();
    const gone = new AbortController();
    const outcome = approvals.request(subject, request({ signal: gone.signal }));
    const { id } = await pending();
    const answer = approvals.answer(id, 'allow', 'session', 'ada');
    gone.abort();
    await assert.rejects(answer, { code: 'approvalSettled' });
    assert.equal((await outcome).allowed, false);
    assert.deepEqual(approvals.grants(), []);
    assert.equal(kinds.at(-1), 'grant.revoked');
  });

  it('denies everything when the helper stops, and everything after', async () => {
    const { approvals, pending } = bench();
    const outcome = approvals.request(subject, request());
    await pending();
    approvals.close();
    assert.equal((await outcome).allowed, false);
    assert.equal((await approvals.request(subject, request())).allowed, false);
  });

  it('denies what cannot be audited: the question, and the yes', async () => {
    const first = bench();
    first.failAudit = true;
    assert.equal((await first.approvals.request(subject, request())).allowed, false);
    const second = bench();
    const outcome = second.approvals.request(subject, request());
    const { id } = await second.pending();
    second.failAudit = true;
    assert.equal((await second.approvals.answer(id, 'allow', 'session', 'ada')).state, 'denied');
    assert.equal((await outcome).allowed, false);
    assert.deepEqual(second.approvals.grants(), []);
  });

  it('denies at once when too many questions of a session wait, and still takes those of another', async () => {
    const { approvals, pending } = bench(2);
    void approvals.request(subject, request({ grantKey: '1' }));
    void approvals.request(subject, request({ grantKey: '2' }));
    assert.match((await approvals.request(subject, request({ grantKey: '3' }))).reason, /already wait/);
    const other = approvals.request(subject, request({ sessionId: 'other' }));
    await pending();
    await pending();
    await approvals.answer((await pending()).id, 'allow', 'once', 'ada');
    assert.equal((await other).allowed, true);
    approvals.close();
  });

  it('survives a client that throws when it is shown something', async () => {
    const approvals = createApprovals({
      dispatch: () => {
        throw new Error('boom');
      },
      audit: { append: () => Promise.reject(new Error('full')) },
      logger: silentLogger,
    });
    assert.equal((await approvals.request(subject, request())).allowed, false);
  });

  it('shares one question between those that wait for the same, and asks on until the last has left', async () => {
    const { approvals, pending, shown } = bench();
    const [a, b] = [new AbortController(), new AbortController()];
    const first = approvals.request(subject, request({ shareKey: 'host', signal: a.signal }));
    const second = approvals.request(subject, request({ shareKey: 'host', signal: b.signal }));
    const { id } = await pending();
    a.abort();
    assert.equal((await first).allowed, false);
    assert.equal(shown.at(-1)?.state, 'pending');
    await approvals.answer(id, 'allow', 'once', 'ada');
    assert.equal((await second).allowed, true);
    assert.equal(shown.filter((approval) => approval.state === 'pending').length, 1);
  });
});

describe('grants for a session', () => {
  async function granted(): Promise<Bench> {
    const made = bench();
    void made.approvals.request(subject, request());
    await made.approvals.answer((await made.pending()).id, 'allow', 'session', 'ada');
    return made;
  }

  it('cover the same key in the same session alone: a branch starts with none', async () => {
    const { approvals, kinds } = await granted();
    assert.equal(approvals.grantFor('s', 'k')?.covers, 'git push');
    assert.equal(approvals.grantFor('s', 'other'), undefined);
    assert.equal(approvals.grantFor('branch-of-s', 'k'), undefined);
    assert.deepEqual(kinds, ['approval.asked', 'approval.answered', 'grant.made']);
  });

  it('settle what already waits for the very same', async () => {
    const { approvals, pending } = bench();
    void approvals.request(subject, request());
    const same = approvals.request(subject, request());
    const other = approvals.request(subject, request({ grantKey: 'other', signal: AbortSignal.timeout(50) }));
    const first = await pending();
    await pending();
    await approvals.answer(first.id, 'allow', 'session', 'ada');
    assert.equal((await same).allowed, true);
    assert.equal((await other).allowed, false);
  });

  it('end when they are revoked, even when the log fails', async () => {
    const made = await granted();
    made.failAudit = true;
    const [grant] = made.approvals.grants('s');
    await assert.rejects(made.approvals.revoke(grant?.id ?? '', 'ada'), { code: 'diskFull' });
    assert.equal(made.approvals.grantFor('s', 'k'), undefined);
    await assert.rejects(made.approvals.revoke(grant?.id ?? '', 'ada'), { code: 'approvalNotFound' });
  });

  it('end with their session', async () => {
    const { approvals } = await granted();
    approvals.removeSession('s');
    assert.deepEqual(approvals.grants(), []);
  });
});
