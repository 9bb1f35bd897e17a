/**
 * Where model requests go, by the name a session remembers: "scripted", "keys" (each provider whose key is set) or one URL for
 * all formats. Keys are set on the request here, on the host: they never enter a sandbox and are never stored.
 */

import { TurntableError } from '../protocol/errors.ts';
import type { Upstream } from './model-endpoint.ts';

/** Variables that say where model requests go and with which key. They stay on the host: the sandbox is told of its endpoint instead. */
export const providerVariables: ReadonlySet<string> = new Set([
  'OPENAI_API_KEY',
  'OPENAI_BASE_URL',
  'ANTHROPIC_API_KEY',
  'ANTHROPIC_BASE_URL',
  'GEMINI_API_KEY',
  'GOOGLE_GEMINI_BASE_URL',
]);

/** Variables that hold keys of providers. They are used on the host and kept out of every sandbox. */
export const keyNames = ['ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'GEMINI_API_KEY'] as const;

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws `invalidParams` for a name that is none of these. */
export function upstreamByName(name: string, env: Environment, scriptedUrl: string): Upstream {
  if (name === 'scripted') return everywhere(scriptedUrl);
  if (name === 'keys') return byKeys(env);
  let url: URL;
  try {
    url = new URL(name);
  } catch (cause) {
    throw new TurntableError(
      'invalidParams',
      `"${name}" is no upstream: give "scripted", "keys" or an http(s) URL.`,
      { cause },
    );
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new TurntableError('invalidParams', `An upstream must be http or https, not ${url.protocol}`);
  }
  return { ...everywhere(withoutVersion(name)), credentials: credentialsOf(env) };
}

function everywhere(url: string): Upstream {
  return {
    baseUrls: { 'openai-chat': url, 'openai-responses': url, 'anthropic-messages': url, gemini: url },
    headers: {},
  };
}

function byKeys(env: Environment): Upstream {
  const openai = withoutVersion(env['OPENAI_BASE_URL'] ?? 'https://api.openai.com');
  return {
    baseUrls: {
      ...(env['OPENAI_API_KEY'] ? { 'openai-chat': openai, 'openai-responses': openai } : {}),
      ...(env['ANTHROPIC_API_KEY']
        ? { 'anthropic-messages': env['ANTHROPIC_BASE_URL'] ?? 'https://api.anthropic.com' }
        : {}),
      ...(env['GEMINI_API_KEY']
        ? { gemini: env['GOOGLE_GEMINI_BASE_URL'] ?? 'https://generativelanguage.googleapis.com' }
        : {}),
    },
    headers: {},
    credentials: credentialsOf(env),
  };
}

/** Each key goes to its own provider only. */
function credentialsOf(env: Environment): NonNullable<Upstream['credentials']> {
  const openai = env['OPENAI_API_KEY'] ? { authorization: `Bearer ${env['OPENAI_API_KEY']}` } : {};
  return {
    'openai-chat': openai,
    'openai-responses': openai,
    'anthropic-messages': env['ANTHROPIC_API_KEY'] ? { 'x-api-key': env['ANTHROPIC_API_KEY'] } : {},
    gemini: env['GEMINI_API_KEY'] ? { 'x-goog-api-key': env['GEMINI_API_KEY'] } : {},
  };
}

/** Agents send the version as part of the path; base URLs are often written with it. */
function withoutVersion(url: string): string {
  return url.replace(/\/+$/, '').replace(/\/v1$/, '');
}
