/**
 * The webview's one line to the extension: typed intents out, parsed messages in, and the little that outlives a
 * reload. Must not know what the messages mean.
 */

import {
  hostMessageSchema,
  savedViewSchema,
  type HostMessage,
  type Intent,
  type SavedView,
} from './messages.ts';

interface VsCodeApi {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

/** May be made once per page: VS Code hands its API out only once. */
export class Host {
  readonly #api: VsCodeApi = acquireVsCodeApi();

  /** Sends an intent to the extension. */
  post(intent: Intent): void {
    this.#api.postMessage(intent);
  }

  /** Calls back for every message that the schema accepts; anything else is dropped with a line in the console. */
  listen(onMessage: (message: HostMessage) => void): void {
    window.addEventListener('message', (event: MessageEvent<unknown>) => {
      const message = hostMessageSchema.safeParse(event.data);
      if (message.success) onMessage(message.data);
      else console.error('turntable: a message from the extension was not understood', message.error);
    });
  }

  /** Where the person was before a reload, if they were anywhere. */
  get saved(): SavedView | undefined {
    const saved = savedViewSchema.safeParse(this.#api.getState());
    return saved.success ? saved.data : undefined;
  }

  /** Remembers where the person is. */
  save(view: SavedView): void {
    this.#api.setState(view);
  }
}
