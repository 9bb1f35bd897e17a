/** A small spinner on stderr for whatever takes longer than a second. Says nothing where nobody watches. */

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const delayMs = 1_000;
const intervalMs = 100;

export interface Progress extends Disposable {
  /** Replaces the words beside the spinner. */
  label(text: string): void;
  /** Prints a line on stderr without tearing the spinner. */
  note(line: string): void;
}

/** Shows `label` with the seconds passed, once a second is over, until disposed of. */
export function startProgress(label: string, stream: NodeJS.WriteStream, enabled: boolean): Progress {
  const startedAt = performance.now();
  let text = label;
  let shown = false;
  const clear = (): void => {
    if (shown) stream.write('\r\u001b[K');
    shown = false;
  };
  const draw = (): void => {
    const passedMs = performance.now() - startedAt;
    if (passedMs < delayMs) return;
    const frame = frames[Math.floor(passedMs / intervalMs) % frames.length] ?? '';
    const line = `${frame} ${text} ${Math.floor(passedMs / 1000)} s`;
    stream.write(`\r\u001b[K${line.slice(0, Math.max(10, (stream.columns || 80) - 1))}`);
    shown = true;
  };
  const timer = enabled && stream.isTTY ? setInterval(draw, intervalMs) : undefined;
  timer?.unref();
  return {
    label(next) {
      text = next;
    },
    note(line) {
      clear();
      stream.write(line + '\n');
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      clear();
    },
  };
}
