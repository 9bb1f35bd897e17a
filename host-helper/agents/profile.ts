/**
 * What the helper knows of one kind of coding agent: where it is installed, how it is started and resumed, and which files are its own
 * book-keeping. A profile builds argv, variables and file contents; it starts and writes nothing itself.
 */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

import type { Upstream, WireFormat } from '../turns/model-endpoint.ts';

/** Where the agent will live and whom it will talk to, all as the sandbox sees it. */
export interface AgentSurroundings {
  readonly home: string;
  /** The sandbox's model endpoint without a path, for example http://127.0.0.1:4141. */
  readonly modelUrl: string;
  /** A model of the provider; the profile's default when absent. */
  readonly model?: string;
  /** One of the profile's formats; its first when absent. */
  readonly format?: WireFormat;
}

export interface AgentLaunch {
  /** The Node.js binary that runs an agent written in JavaScript. */
  readonly nodePath: string;
  /** As `locate` found it. */
  readonly entryPath: string;
  /** The developer's instruction; undefined starts the agent's own terminal interface and waits. */
  readonly prompt: string | undefined;
  /** With a prompt: true keeps the terminal interface open, otherwise the agent works through the prompt and exits. */
  readonly interactive?: boolean;
  readonly model?: string;
  readonly format?: WireFormat;
}

export interface HomeFile {
  /** Relative to the home directory. */
  readonly path: string;
  readonly content: string;
}

export interface AgentProfile {
  readonly name: string;
  readonly displayName: string;
  readonly licence: string;
  /** Wire formats it can speak; the first is what it speaks by default. */
  readonly formats: readonly [WireFormat, ...WireFormat[]];
  /** How a person installs it. */
  readonly installHint: string;
  /** The installed entry (a script or a binary) under the first root that has it. A root is a directory with or of `node_modules`. */
  locate(searchRoots: readonly string[]): string | undefined;
  /** Variables that make it talk to the endpoint only: no telemetry, no update checks. */
  environment(surroundings: AgentSurroundings): Readonly<Record<string, string>>;
  /** Settings to be in its home before the first start. */
  prepareHome(surroundings: AgentSurroundings): readonly HomeFile[];
  /** argv of a first start. */
  start(launch: AgentLaunch): readonly string[];
  /** argv that goes on from the newest transcript in the home, in the same working directory. */
  resume(launch: AgentLaunch): readonly string[];
  /** Directories and files relative to home (or absolute) that hold its transcript, caches and book-keeping. A `*` stands for any characters within one name. */
  readonly statePaths: readonly string[];
}

/** The format that the agent is to speak: the first of its own for which there is a provider, so that any one key is enough. */
export function formatFor(profile: AgentProfile, upstream: Pick<Upstream, 'baseUrls'>): WireFormat {
  return profile.formats.find((format) => upstream.baseUrls[format] !== undefined) ?? profile.formats[0];
}

/** What a resumed agent is told when the developer said nothing else. */
export const continuePrompt = 'Continue.';

/** Says whether an absolute path of the sandbox is the agent's own state, or a directory made only to hold it. */
export function agentStatePredicate(profile: AgentProfile, home: string): (path: string) => boolean {
  const states = profile.statePaths.map((path) => (path.startsWith('/') ? path : join(home, path)));
  const patterns = states.map(
    (state) => new RegExp(`^${state.split('*').map(escapeRegExp).join('[^/]*')}(/|$)`),
  );
  const holders = new Set(
    states.flatMap((state) => ancestors(state)).filter((path) => path.startsWith(`${home}/`)),
  );
  return (path) => holders.has(path) || patterns.some((pattern) => pattern.test(path));
}

function ancestors(path: string): readonly string[] {
  const names = path.split('/').slice(1, -1);
  return names.map((_, index) => '/' + names.slice(0, index + 1).join('/'));
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** A script is run by the given Node.js, a binary by itself. */
export function launcher(launch: AgentLaunch): readonly string[] {
  return /\.[cm]?js$/.test(launch.entryPath) ? [launch.nodePath, launch.entryPath] : [launch.entryPath];
}

/** Base URL as most clients want it: the endpoint and the version. */
export function versionedUrl(modelUrl: string): string {
  return `${modelUrl.replace(/\/+$/, '')}/v1`;
}

/** Settings every sandbox home gets: the files may belong to another user than the agent runs as. */
export const commonHomeFiles: readonly HomeFile[] = [
  { path: '.gitconfig', content: '[safe]\n\tdirectory = *\n[init]\n\tdefaultBranch = main\n' },
];

/** A file of a package under one of the roots. */
export function locateFile(
  searchRoots: readonly string[],
  packageName: string,
  file: string,
): string | undefined {
  return packageDirectories(searchRoots, packageName)
    .map((directory) => join(directory, file))
    .find(isFile);
}

const manifestSchema = z.looseObject({
  bin: z.union([z.string(), z.record(z.string(), z.string())]).optional(),
});

/** The file behind a package's command, by its manifest. */
export function locateCommand(
  searchRoots: readonly string[],
  packageName: string,
  command: string,
): string | undefined {
  for (const directory of packageDirectories(searchRoots, packageName)) {
    const manifest = readManifest(join(directory, 'package.json'));
    const file = typeof manifest?.bin === 'string' ? manifest.bin : manifest?.bin?.[command];
    if (file !== undefined && isFile(join(directory, file))) return join(directory, file);
  }
  return undefined;
}

function packageDirectories(searchRoots: readonly string[], packageName: string): readonly string[] {
  return searchRoots.flatMap((root) => [join(root, 'node_modules', packageName), join(root, packageName)]);
}

function readManifest(path: string): z.infer<typeof manifestSchema> | undefined {
  try {
    return manifestSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
