/**
 * The webview's strings: English in the source, looked up in the translations that the extension pushed.
 * `{0}` and so on stand for arguments, as in `vscode.l10n`.
 */

let strings: Record<string, string> = {};

/** Uses these translations (by English text) from now on. */
export function useStrings(translations: Record<string, string>): void {
  strings = translations;
}

/** The message in the person's language, with its arguments filled in. */
export function t(message: string, ...values: (string | number)[]): string {
  return (strings[message] ?? message).replace(/\{(\d+)\}/g, (whole, index: string) =>
    String(values[Number(index)] ?? whole),
  );
}
