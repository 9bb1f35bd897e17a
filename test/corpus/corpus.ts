/**
 * What the corpus is made of: suites of scenarios of steps. A suite runs in a session of its own, its scenarios one after
 * another; a step is one turn. Only data and the words for it; running is session-run.ts, the turns are in the other files.
 */

import type { Label } from './oracle.ts';

export interface Step {
  /** Unique in its scenario. */
  readonly name: string;
  /** For `sh -c`, in the workspace. */
  readonly run: string;
  /** What the author believes; the oracle decides, and a disagreement is an error of the corpus. None: a step that prepares. */
  readonly expect?: Label;
  /** Rewind here at the end, and compare with what the oracle saw. */
  readonly sample?: boolean;
}

export interface Scenario {
  readonly family: string;
  readonly name: string;
  readonly steps: readonly Step[];
}

export interface Suite {
  readonly name: string;
  /** Run on the host in the developer's folder before the session begins; `$M` is the program that makes changes. */
  readonly prepareFolder?: string;
  readonly scenarios: readonly Scenario[];
  /** After each scenario every process is ended. */
  readonly endProcesses?: boolean;
}

/** `family/scenario` or, where a scenario has several counted steps, `family/scenario/step`. */
export function idOf(scenario: Scenario, step: Step): string {
  const counted = scenario.steps.filter((each) => each.expect !== undefined);
  const base = `${scenario.family}/${scenario.name}`;
  return counted.length > 1 || step.expect === undefined ? `${base}/${step.name}` : base;
}

/** A scenario of one counted turn. */
export function one(family: string, name: string, expect: Label, run: string, ...setup: string[]): Scenario {
  return {
    family,
    name,
    steps: [
      ...setup.map((each, index) => ({ name: `setup-${index + 1}`, run: each })),
      { name: 'turn', run, expect },
    ],
  };
}

/** Where a turn of a family is tried. */
export interface Spot {
  readonly name: string;
  /** Shell text that names a directory. */
  readonly directory: string;
}

export const spots = {
  lower: { name: 'untouched', directory: '$W/lower' },
  upper: { name: 'touched', directory: '$W/upper' },
  home: { name: 'home', directory: '$HOME/corpus' },
  usr: { name: 'usr', directory: '/usr/local/corpus' },
  etc: { name: 'etc', directory: '/etc/corpus' },
  var: { name: 'var', directory: '/var/lib/corpus' },
  opt: { name: 'opt', directory: '/opt/corpus' },
  tmp: { name: 'tmp', directory: '/tmp/corpus' },
} as const satisfies Record<string, Spot>;

export const otherSpots: readonly Spot[] = [
  spots.home,
  spots.usr,
  spots.etc,
  spots.var,
  spots.opt,
  spots.tmp,
];

/** Everything that an operation on files may want, in a directory of its own. */
export function kit(directory: string): string {
  return [
    `mkdir -p ${directory}/dir/sub ${directory}/empty && cd ${directory}`,
    `seq 1 2600 > file && seq 5001 7600 > other && printf 'some text\\n' > small && : > zero`,
    `echo x > dir/one && echo y > dir/sub/two && ln -s file link && echo linked > hard && ln hard harder`,
    `mkfifo fifo && echo attr > attr && $M setxattr attr user.corpus first`,
    `cd - > /dev/null`,
  ].join(' && ');
}
