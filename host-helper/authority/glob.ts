/**
 * The pattern language of rules: `*` within one path segment (or word), `**` across segments, everything else literal.
 * It knows strings alone: what a pattern is matched against is the caller's business.
 */

const cache = new Map<string, RegExp>();
const cacheLimit = 1000;

/** True when `text` matches `pattern` wholly. */
export function matchesGlob(pattern: string, text: string): boolean {
  if (!pattern.includes('*')) return pattern === text;
  let compiled = cache.get(pattern);
  if (!compiled) {
    const body = pattern
      .split(/(\*\*|\*)/)
      .map((part) =>
        part === '**' ? '.*' : part === '*' ? '[^/]*' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'),
      )
      .join('');
    compiled = new RegExp(`^${body}$`, 's');
    if (cache.size >= cacheLimit) cache.clear();
    cache.set(pattern, compiled);
  }
  return compiled.test(text);
}
