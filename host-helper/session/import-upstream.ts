/**
 * Where the model requests of an imported session go. The helper's keys go with them, so an archive may name what this host
 * has chosen itself, but no address: that is for the person to say.
 */

/** Names that stand for this host's own choice (see `upstreamByName`). */
const ownChoices: ReadonlySet<string> = new Set(['scripted', 'keys']);

/** `named` is the archive's word, `requested` the person's. The note says what was not followed. */
export function importedUpstream(
  named: string,
  requested: string | undefined,
): { readonly upstream: string; readonly note: string | undefined } {
  if (requested !== undefined) return { upstream: requested, note: undefined };
  if (ownChoices.has(named)) return { upstream: named, note: undefined };
  return {
    upstream: 'keys',
    note: `model requests went to ${hostOf(named)} there and do not from here: import with --upstream to send them to an address`,
  };
}

/** Of a URL nothing else is shown: it may hold a password, and words that are meant to be read as ours. */
function hostOf(named: string): string {
  const host = URL.canParse(named) ? new URL(named).host : '';
  return /^[\w.:[\]-]{1,255}$/.test(host) ? host : 'another address';
}
