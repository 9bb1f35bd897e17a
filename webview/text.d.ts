/**
 * The webview's strings: English in the source, looked up in the translations that the extension pushed.
 * `{0}` and so on stand for arguments, as in `vscode.l10n`.
 */
/** Uses these translations (by English text) from now on. */
export declare function useStrings(translations: Record<string, string>): void;
/** The message in the person's language, with its arguments filled in. */
export declare function t(message: string, ...values: (string | number)[]): string;
