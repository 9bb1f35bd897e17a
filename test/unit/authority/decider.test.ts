import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createApprovals, type Approvals } from '../../../host-helper/authority/approvals.ts';
import type { AuditRecord } from '../../../host-helper/authority/audit.ts';
import { createDecider, type Decider } from '../../../host-helper/authority/decider.ts';
import { parseExecRules } from '../../../host-helper/authority/exec-rules.ts';
import { createLineage, readProcStat } from '../../../host-helper/authority/lineage.ts';
import type { ExecAsk } from '../../../host-helper/inspector/sentry.ts';
import { silentLogger } from '../../../host-helper/log.ts';
import type { Approval } from '../../../host-helper/protocol/state.ts';

interface Bench {
  readonly decider: Decider;
  readonly approvals: Approvals;
  readonly audited: { kind: string; data: Record<string, unknown> }[];
  readonly asked: Approval[];
  /** What the person says to the next questions; asked again when it runs out. */
  readonly answers: ('once' | 'session' | 'deny' | 'silence')[];
  /** pid → parent. */
  readonly parents: Map<number, number>;
  failAudit: boolean;
}

function bench(rules = '{}'): Bench {
  const audit = {
    append(kind: string, sessionId: string | undefined, data: Record<string, unknown>): Promise<AuditRecord> {
      if (made.failAudit) return Promise.reject(new Error('disk full'));
      audited.push({ kind, data });
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
  };
  const audited: Bench['audited'] = [];
  const asked: Approval[] = [];
  const answers: Bench['answers'] = [];
  const parents = new Map<number, number>();
  const approvals = createApprovals({
    dispatch(approval) {
      if (approval.state !== 'pending') return;
      asked.push(approval);
      const answer = answers.shift() ?? 'silence';
      if (answer === 'silence') return;
      void approvals.answer(
        approval.id,
        answer === 'deny' ? 'deny' : 'allow',
        answer === 'session' ? 'session' : 'once',
        'ada',
      );
    },
    audit,
    logger: silentLogger,
  });
  const lineage = createLineage((pid) => ({
    pid,
    parentPid: parents.get(pid) ?? 1,
    startTicks: String(pid),
  }));
  const decider = createDecider({
    approvals,
    audit,
    logger: silentLogger,
    rules: parseExecRules(rules),
    lineage,
    askTimeoutMs: 30,
  });
  const made: Bench = { decider, approvals, audited, asked, answers, parents, failAudit: false };
  return made;
}

function exec(program: string, line: string, pid = 10): ExecAsk {
  return {
    ask: 1n,
    sandbox: 1,
    tid: pid,
    pid,
    program,
    interpreter: undefined,
    argv: line.split(' '),
    argvTruncated: false,
    cwd: '/w',
  };
}

const context = { sessionId: 's', turn: 3 };
const push = exec('/usr/bin/git', 'git push origin main');
const npmjs = { sessionId: 's', turn: 3, host: 'registry.test', port: 443, method: 'CONNECT' };

describe('deciding an exec', () => {
  it('counts what no rule speaks of, without a line in the log for each', async () => {
    const { decider, audited } = bench();
    assert.deepEqual(await decider.decideExec(exec('/usr/bin/ls', 'ls'), context), {
      verdict: 'allow',
      remember: true,
      rule: undefined,
      reason: 'No rule speaks of it.',
    });
    await decider.decideExec(exec('/usr/bin/git', 'git status'), context);
    assert.equal(decider.plainExecs('s'), 2);
    assert.deepEqual(audited, []);
  });

  it('asks a person, shows the real argv, and audits each step', async () => {
    const { decider, answers, asked, audited } = bench();
    answers.push('once');
    const verdict = await decider.decideExec(push, context);
    assert.equal(verdict.verdict, 'allow');
    assert.equal(verdict.remember, false);
    assert.deepEqual(asked[0]?.subject, {
      kind: 'exec',
      program: '/usr/bin/git',
      argv: ['git', 'push', 'origin', 'main'],
      cwd: '/w',
      pid: 10,
    });
    assert.equal(asked[0].turn, 3);
    assert.deepEqual(
      audited.map(({ kind }) => kind),
      ['approval.asked', 'approval.answered', 'exec.allowed'],
    );
  });

  it('asks again after a yes that was for once', async () => {
    const { decider, answers, asked } = bench();
    answers.push('once', 'deny');
    assert.equal((await decider.decideExec(push, context)).verdict, 'allow');
    assert.equal((await decider.decideExec(push, context)).verdict, 'deny');
    assert.equal(asked.length, 2);
  });

  it('uses a grant for the session for the very same, and audits the use', async () => {
    const { decider, answers, asked, audited } = bench();
    answers.push('session', 'deny', 'deny');
    await decider.decideExec(push, context);
    assert.equal((await decider.decideExec({ ...push, pid: 99 }, { ...context, turn: 4 })).verdict, 'allow');
    assert.equal(audited.at(-1)?.kind, 'grant.used');
    assert.equal(
      (await decider.decideExec(exec('/usr/bin/git', 'git push evil main'), context)).verdict,
      'deny',
    );
    assert.equal((await decider.decideExec(push, { ...context, sessionId: 'branch' })).verdict, 'deny');
    assert.equal(asked.length, 3);
  });

  it('asks once when a shell that was refused tries the same program again, and anew for anything else', async () => {
    const { decider, answers, asked } = bench();
    answers.push('deny', 'deny', 'deny');
    await decider.decideExec(push, context);
    assert.equal((await decider.decideExec(push, context)).verdict, 'deny');
    assert.equal(asked.length, 1);
    await decider.decideExec(exec('/usr/bin/git', 'git push other main'), context);
    await decider.decideExec({ ...push, pid: 11 }, context);
    assert.equal(asked.length, 3);
  });

  it('takes silence for a no', async () => {
    const { decider, audited } = bench();
    assert.equal((await decider.decideExec(push, context)).verdict, 'deny');
    assert.equal(audited.at(-1)?.kind, 'exec.denied');
  });

  it('denies when the log cannot be written, at a question, at a rule, and at a grant', async () => {
    const made = bench('{"exec":[{"id":"ok","effect":"allow","programs":["tool"]}]}');
    made.answers.push('session');
    await made.decider.decideExec(push, context);
    made.failAudit = true;
    assert.equal((await made.decider.decideExec(push, context)).verdict, 'deny');
    assert.equal((await made.decider.decideExec(exec('/usr/bin/sudo', 'sudo x'), context)).verdict, 'deny');
    assert.equal((await made.decider.decideExec(exec('/bin/tool', 'tool'), context)).verdict, 'deny');
  });

  it('says when a person sees only a part of the arguments', async () => {
    const { decider, asked } = bench();
    await decider.decideExec(exec('/usr/bin/sudo', `sudo ${'x '.repeat(100).trim()}`), context);
    const subject = asked[0]?.subject;
    assert.ok(subject?.kind === 'exec');
    assert.equal(subject.argv.length, 64);
    assert.match(subject.caution ?? '', /Only 64 of 101/);
  });

  it('denies by a rule of the person without asking', async () => {
    const { decider, asked, audited } = bench(
      '{"exec":[{"id":"no","effect":"deny","text":"Never.","programs":["curl"]}]}',
    );
    assert.deepEqual(await decider.decideExec(exec('/usr/bin/curl', 'curl x'), context), {
      verdict: 'deny',
      remember: false,
      rule: 'no',
      reason: 'Never.',
    });
    assert.equal(asked.length, 0);
    assert.equal(audited[0]?.kind, 'exec.denied');
  });
});

describe("git's own transports", () => {
  const fetch = exec('/usr/bin/git', 'git fetch', 20);
  const https = (pid: number): ExecAsk =>
    exec('/usr/lib/git-core/git-remote-http', 'git-remote-https origin https://x', pid);

  it('pass below a git command that passed, and are asked about when started directly', async () => {
    const { decider, parents, asked } = bench();
    parents.set(21, 20).set(31, 30);
    await decider.decideExec(fetch, context);
    assert.equal((await decider.decideExec(https(21), context)).verdict, 'allow');
    assert.equal((await decider.decideExec(https(31), context)).verdict, 'deny');
    assert.equal(asked.length, 1);
  });

  it('are asked about once, with the push they serve', async () => {
    const { decider, parents, asked, answers } = bench();
    parents.set(11, 10).set(12, 11).set(13, 12);
    answers.push('once');
    await decider.decideExec(push, context);
    assert.equal(
      (await decider.decideExec(exec('/usr/bin/git', 'git remote-https origin x', 11), context)).verdict,
      'allow',
    );
    assert.equal((await decider.decideExec(https(12), context)).verdict, 'allow');
    assert.equal(
      (await decider.decideExec(exec('/usr/bin/git', 'git send-pack --stateless-rpc x', 13), context))
        .verdict,
      'allow',
    );
    assert.equal(asked.length, 1);
  });

  it('are asked about below a push that was denied, and send-pack also below a fetch', async () => {
    const { decider, parents, asked, answers } = bench();
    parents.set(11, 10).set(21, 20);
    answers.push('deny');
    await decider.decideExec(push, context);
    assert.equal((await decider.decideExec(https(11), context)).verdict, 'deny');
    await decider.decideExec(fetch, context);
    assert.equal(
      (await decider.decideExec(exec('/usr/bin/git', 'git send-pack x', 21), context)).verdict,
      'deny',
    );
    assert.equal(asked.length, 3);
  });

  it('are not excused by a process whose number was used again', async () => {
    const ticks = { value: '1' };
    const lineage = createLineage((pid) => ({
      pid,
      parentPid: pid === 21 ? 20 : 1,
      startTicks: ticks.value,
    }));
    const rule = {
      id: 'x',
      effect: 'ask',
      text: '',
      programs: [],
      notUnder: { rules: [], programs: ['git'] },
    } as const;
    lineage.record(20, { rule: undefined, names: ['git'], allowed: true });
    assert.equal(lineage.excuses(21, rule), true);
    ticks.value = '2';
    assert.equal(lineage.excuses(21, rule), false);
  });
});

it('reads who a process is from /proc, and nothing of one that is gone', () => {
  const own = readProcStat(process.pid);
  assert.equal(own?.parentPid, process.ppid);
  assert.match(own.startTicks, /^\d+$/);
  assert.equal(readProcStat(2 ** 22 + 1), undefined);
});

describe('deciding a connection', () => {
  it('asks about a host that no rule names, once for many connections and for the turn', async () => {
    const { decider, answers, asked } = bench();
    answers.push('once', 'deny');
    const all = await Promise.all([1, 2, 3].map(() => decider.decideNetwork(npmjs)));
    assert.deepEqual(
      all.map(({ allowed }) => allowed),
      [true, true, true],
    );
    assert.equal((await decider.decideNetwork(npmjs)).allowed, true);
    assert.equal(asked.length, 1);
    assert.equal((await decider.decideNetwork({ ...npmjs, turn: 4 })).allowed, false);
    assert.equal(asked.length, 2);
  });

  it('asks about another port and in another session anew', async () => {
    const { decider, answers, asked } = bench();
    answers.push('session', 'deny', 'deny');
    assert.equal((await decider.decideNetwork(npmjs)).allowed, true);
    assert.equal((await decider.decideNetwork({ ...npmjs, turn: 9 })).allowed, true);
    assert.equal((await decider.decideNetwork({ ...npmjs, port: 22 })).allowed, false);
    assert.equal((await decider.decideNetwork({ ...npmjs, sessionId: 'branch' })).allowed, false);
    assert.equal(asked.length, 3);
  });

  it("keeps a person's no for the turn, but asks again after silence", async () => {
    const { decider, answers, asked } = bench();
    answers.push('deny');
    await decider.decideNetwork(npmjs);
    assert.match((await decider.decideNetwork(npmjs)).reason, /Asked before/);
    assert.equal(asked.length, 1);
    answers.push('silence', 'once');
    assert.equal((await decider.decideNetwork({ ...npmjs, turn: 4 })).allowed, false);
    assert.equal((await decider.decideNetwork({ ...npmjs, turn: 4 })).allowed, true);
  });

  it('follows the rules of the person, deny first', async () => {
    const { decider, asked } = bench(
      JSON.stringify({
        network: [
          { id: 'ours', effect: 'allow', hosts: ['*.good.test', 'one.test:8080'] },
          { id: 'not', effect: 'deny', hosts: ['bad.good.test'] },
        ],
      }),
    );
    const allowed = async (host: string, port = 443): Promise<boolean> =>
      (await decider.decideNetwork({ ...npmjs, host, port })).allowed;
    assert.equal(await allowed('a.good.test'), true);
    assert.equal(await allowed('one.test', 8080), true);
    assert.equal(await allowed('bad.good.test'), false);
    assert.equal(asked.length, 0);
    for (const [host, port] of [
      ['good.test', 443],
      ['evilgood.test', 443],
      ['a.good.test', 22],
      ['one.test', 443],
    ] as const)
      assert.equal(await allowed(host, port), false, host);
    assert.equal(asked.length, 4);
  });

  it('denies when the log cannot be written', async () => {
    const made = bench('{"network":[{"id":"a","effect":"allow","hosts":["registry.test"]}]}');
    made.failAudit = true;
    assert.equal((await made.decider.decideNetwork(npmjs)).allowed, false);
  });
});
