/** "If you rewind here", in words: from the helper's preview to lines with a subject and what becomes of it. Pure. */
import type { ReachedHost } from '../../host-helper/protocol/state.ts';
import type { RewindPreview } from '../messages.ts';
export interface ForecastLine {
    what: string;
    detail: string;
    tone: 'plain' | 'caution';
}
/** The lines, most weighty last: files, processes, the person's own changes, what stays done. */
export declare function forecastLines(preview: RewindPreview, workspace: string): ForecastLine[];
/** One line for a narrow place. */
export declare function forecastSummary(preview: RewindPreview, workspace: string): string;
/** `POST api.example.com (2\u00d7)`. */
export declare function reachedText(reached: ReachedHost): string;
/** What a turn says that reached nothing. */
export declare function forecastEmpty(): string;
