/**
 * The agents this helper can start, by name. Adding one: write its profile beside these and list it here.
 */

import { claude } from './claude.ts';
import { codex } from './codex.ts';
import { gemini } from './gemini.ts';
import { opencode } from './opencode.ts';
import { pi } from './pi.ts';
import type { AgentProfile } from './profile.ts';
import { qwen } from './qwen.ts';

/** In the order in which they are offered; the first is the default. */
export const agentProfiles: ReadonlyMap<string, AgentProfile> = new Map(
  [pi, opencode, codex, gemini, qwen, claude].map((profile) => [profile.name, profile]),
);

export const defaultAgentName = pi.name;
