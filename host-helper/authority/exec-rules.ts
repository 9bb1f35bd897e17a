/**
 * Rules about programs as data: their schema, the defaults, and how a person's own are read. A rule speaks of the
 * resolved program and its real arguments, never of command text. Deciding by them is exec-policy.ts.
 *
 * Rules come from the helper's own configuration directory alone: a file in the workspace could be written by the agent.
 */

import { z } from 'zod';
import { TurntableError } from '../protocol/errors.ts';

export const interpreterFamilies = ['shell', 'node', 'python', 'ruby', 'perl'] as const;
export type InterpreterFamily = (typeof interpreterFamilies)[number];

export type ExecEffect = 'allow' | 'ask' | 'deny';

export interface ExecRule {
  /** Stable name, shown and audited. */
  readonly id: string;
  readonly effect: ExecEffect;
  /** Why, in words for the person who is asked. */
  readonly text: string;
  /** Globs: without a slash for the program's base name, with one for its absolute path. */
  readonly programs: readonly string[];
  /** Command words, separated by spaces, each a glob (`push`, `npm publish`). Any one matches. Absent: any arguments. */
  readonly commands?: readonly string[];
  /** An argument that must be there too (`--push` also matches `--push=true`). Any one matches. */
  readonly options?: readonly string[];
  /** The program corrects misspelt commands by itself: near misses of `commands` match as well. */
  readonly autocorrects?: boolean;
  /** Interpreters that could be handed this program as a script. Absent: any. It decides what may be remembered. */
  readonly interpreters?: readonly InterpreterFamily[];
  /** Options that do not matter to what a session grant covers. */
  readonly quietOptions?: readonly string[];
  /** Not applied below an ancestor that was allowed: by one of `rules`, or, matched by no rule, as one of `programs`. */
  readonly notUnder?: { readonly rules: readonly string[]; readonly programs: readonly string[] };
}

const jsPublishers = [
  'npm',
  'npm-cli',
  'npm-cli.js',
  '**/npm/index.js',
  '**/npm/index',
  '**/npm/lib/cli.js',
  '**/npm/lib/cli',
];
function list(words: string): string[] {
  return words.split(' ');
}

/** Every noun with every verb. */
function pairs(nouns: string, verbs: string): string[] {
  return list(nouns).flatMap((noun) => list(verbs).map((verb) => `${noun} ${verb}`));
}

const quiet = ['-v', '-q', '--verbose', '--quiet', '--progress', '--no-progress'];

/** What is asked when nobody configured anything: pushing, publishing, becoming somebody else. The rest is allowed. */
export const defaultExecRules: readonly ExecRule[] = [
  {
    id: 'git-push',
    effect: 'ask',
    text: 'Pushing to a git remote leaves this machine and cannot be rewound.',
    programs: ['git'],
    commands: ['push', 'http-push', 'send-email', 'imap-send'],
    autocorrects: true,
    interpreters: [],
    quietOptions: [...quiet, '-u', '--set-upstream', '--porcelain'],
  },
  {
    id: 'git-send-pack',
    effect: 'ask',
    text: 'git send-pack pushes to a git remote; that leaves this machine and cannot be rewound.',
    programs: ['git'],
    commands: ['send-pack'],
    autocorrects: true,
    interpreters: [],
    notUnder: { rules: ['git-push'], programs: [] },
  },
  {
    id: 'git-transport',
    effect: 'ask',
    text: 'A git transport was started directly; it can push to a remote.',
    programs: ['git'],
    commands: ['remote-http', 'remote-https', 'remote-ftp', 'remote-ftps', 'remote-ext', 'remote-fd'],
    interpreters: [],
    notUnder: { rules: ['git-push', 'git-transport'], programs: ['git'] },
  },
  {
    id: 'version-control-publish',
    effect: 'ask',
    text: 'This sends commits to a remote; that leaves this machine and cannot be rewound.',
    programs: ['hg', 'sl', 'jj', 'svn', 'bzr', 'brz', 'fossil', 'hub'],
    commands: [
      'push',
      'git push',
      'commit',
      'ci',
      'import',
      'pull-request',
      'release create',
      'create',
      'fork',
      'sync',
    ],
    interpreters: ['python', 'ruby'],
    quietOptions: quiet,
  },
  {
    id: 'forge',
    effect: 'ask',
    text: 'This changes something on the forge (a pull request, a release, a repository) in your name.',
    programs: ['gh', 'glab', 'tea'],
    commands: [
      ...pairs('pr mr pulls', 'create merge close reopen edit comment review ready approve update-branch'),
      ...pairs(
        'issue release repo gist secret variable ssh-key gpg-key label',
        'create new delete edit upload set add remove comment close rename fork sync archive transfer',
      ),
      ...pairs('workflow run cache auth', 'run enable disable rerun cancel delete token'),
    ],
    interpreters: [],
    quietOptions: quiet,
  },
  {
    id: 'forge-api',
    effect: 'ask',
    text: 'This calls the forge in your name with something other than a read.',
    programs: ['gh', 'glab'],
    commands: ['api'],
    options: ['-X*', '-f*', '-F*', '--method', '--field', '--raw-field', '--input', 'graphql'],
    interpreters: [],
  },
  {
    id: 'npm-publish',
    effect: 'ask',
    text: 'Publishing to a package registry leaves this machine and cannot be rewound.',
    programs: jsPublishers,
    // npm takes any unambiguous beginning of a command: `npm pu` publishes.
    commands: [
      'pu*',
      'unp*',
      'dep*',
      'undep*',
      'stag*',
      'dist* add',
      'dist* rm',
      'dist* set',
      'ow* add',
      'ow* rm',
      'author add',
      'author rm',
    ],
    interpreters: ['node'],
    quietOptions: quiet,
  },
  {
    id: 'package-publish',
    effect: 'ask',
    text: 'Publishing to a package registry leaves this machine and cannot be rewound.',
    programs: [
      ...list(
        'yarn yarnpkg yarn.js yarn.cjs yarn-*.cjs yarn-*.js pnpm pnpm.cjs pnpm.mjs pnpm.js bun deno lerna lerna.js changeset vsce ovsx jsr',
      ),
      ...list(
        'cargo gem twine poetry hatch flit uv pdm maturin nuget dotnet dart mix pod conan luarocks cabal helm',
      ),
    ],
    commands: [
      ...list('publish unpublish yank push upload owner deprecate hex.publish'),
      ...[
        'npm publish',
        'npm tag add',
        'npm exec npm publish',
        'dist-tag add',
        'nuget push',
        'pub publish',
        'trunk push',
        'self publish',
      ],
      ...[
        'workspace * publish',
        'workspace * npm publish',
        'workspaces foreach npm publish',
        'recursive publish',
        'm publish',
      ],
    ],
    interpreters: ['node', 'python', 'ruby'],
    quietOptions: quiet,
  },
  {
    id: 'build-publish',
    effect: 'ask',
    text: 'This build task publishes its result; that leaves this machine and cannot be rewound.',
    programs: list('mvn mvnw gradle gradlew rake bundle sbt'),
    options: list('deploy deploy:* *:deploy release release:* *:release publish* *:publish* uploadArchives'),
    interpreters: ['ruby'],
  },
  {
    id: 'image-push',
    effect: 'ask',
    text: 'Pushing an image to a registry leaves this machine and cannot be rewound.',
    programs: ['docker', 'podman', 'nerdctl', 'buildah', 'crane', 'oras', 'skopeo', 'regctl'],
    commands: ['push', 'image push', 'manifest push', 'compose push', 'plugin push', 'copy', 'sync', 'cp'],
    interpreters: [],
    quietOptions: quiet,
  },
  {
    id: 'image-build-push',
    effect: 'ask',
    text: 'This build pushes its result to a registry; that leaves this machine and cannot be rewound.',
    programs: ['docker', 'podman', 'nerdctl', 'docker-buildx', 'docker-compose'],
    options: ['--push', 'type=registry', '--output=type=registry*'],
    interpreters: [],
  },
  {
    id: 'privilege',
    effect: 'ask',
    text: 'This runs a program as another user or outside the usual rights.',
    programs: [
      'sudo',
      'sudoedit',
      'sudo-rs',
      'su',
      'su-rs',
      'doas',
      'pkexec',
      'runuser',
      'run0',
      'sg',
      'super',
      'calife',
      'dzdo',
      'pbrun',
      'please',
      'gksu',
      'gksudo',
      'kdesu',
      'kdesudo',
      'lxqt-sudo',
      'beesu',
      'systemd-run',
      'machinectl',
    ],
    interpreters: [],
  },
];

const text = z.string().min(1).max(500);
const pattern = z.string().min(1).max(500);
const commandPattern = pattern.refine((value) => value.trim() !== '', 'must not be blank');

const execRuleSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'must be small letters, digits and dashes'),
  effect: z.enum(['allow', 'ask', 'deny']),
  text: text.optional(),
  programs: z
    .array(
      pattern.refine(
        (value) => !value.includes('/') || value.startsWith('/') || value.startsWith('**/'),
        'must be a base name, or an absolute path',
      ),
    )
    .min(1)
    .max(200),
  commands: z.array(commandPattern).min(1).max(200).optional(),
  options: z.array(pattern).min(1).max(200).optional(),
});

const hostPattern = z
  .string()
  .max(300)
  .regex(/^(\*\.)?[a-z0-9._:[\]-]+?(:(\d{1,5}|\*))?$/i, 'must be host, host:port or *.domain');

export const networkRuleSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'must be small letters, digits and dashes'),
  effect: z.enum(['allow', 'ask', 'deny']),
  text: text.optional(),
  hosts: z.array(hostPattern).min(1).max(500),
});
export type NetworkRule = z.infer<typeof networkRuleSchema>;

const ruleFileSchema = z.strictObject({
  exec: z.array(execRuleSchema).max(1000).optional(),
  network: z.array(networkRuleSchema).max(1000).optional(),
  /** `host:port` that may resolve to a private or loopback address (a registry of one's own). */
  allowPrivate: z
    .array(
      z
        .string()
        .max(300)
        .regex(/^.+:\d{1,5}$/, 'must be host:port'),
    )
    .max(500)
    .optional(),
});

export interface ParsedRules {
  readonly exec: readonly ExecRule[];
  readonly network: readonly NetworkRule[];
  readonly allowPrivate: readonly string[];
}

export const noRules: ParsedRules = { exec: [], network: [], allowPrivate: [] };

/**
 * Reads a person's rules from the text of their rule file. Throws `invalidParams` that names the place and the remedy:
 * a rule file that cannot be read must stop the start, for a missing deny would be silent.
 */
export function parseExecRules(json: string): ParsedRules {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new TurntableError(
      'invalidParams',
      `The rule file is not JSON (${cause instanceof Error ? cause.message : 'unreadable'}). Mend it and start again.`,
      { cause },
    );
  }
  const parsed = ruleFileSchema.safeParse(value);
  if (!parsed.success) {
    const first = parsed.error.issues[0];
    const where = first ? first.path.map(String).join('.') || 'the top level' : 'the top level';
    throw new TurntableError(
      'invalidParams',
      `The rule file is wrong at ${where}: ${first?.message ?? 'unknown'}. Mend it and start again.`,
      {
        data: {
          issues: parsed.error.issues
            .slice(0, 10)
            .map((issue) => `${issue.path.map(String).join('.')}: ${issue.message}`),
        },
      },
    );
  }
  const ids = new Set<string>(defaultExecRules.map((rule) => rule.id));
  for (const rule of [...(parsed.data.exec ?? []), ...(parsed.data.network ?? [])]) {
    if (ids.has(rule.id))
      throw new TurntableError(
        'invalidParams',
        `The rule file has the id "${rule.id}" twice, or takes the name of a default rule. Give each rule its own.`,
      );
    ids.add(rule.id);
  }
  return {
    exec: (parsed.data.exec ?? []).map(toExecRule),
    network: parsed.data.network ?? [],
    allowPrivate: parsed.data.allowPrivate ?? [],
  };
}

function toExecRule(rule: z.infer<typeof execRuleSchema>): ExecRule {
  return {
    id: rule.id,
    effect: rule.effect,
    text: rule.text ?? `Your rule "${rule.id}".`,
    programs: rule.programs,
    ...(rule.commands ? { commands: rule.commands } : {}),
    ...(rule.options ? { options: rule.options } : {}),
  };
}
