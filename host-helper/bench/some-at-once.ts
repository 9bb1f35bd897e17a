/** Work on a list, some of it at a time. The first failure is the failure of all; nothing new is begun then. */
export async function someAtOnce<Item>(
  atOnce: number,
  items: readonly Item[],
  work: (at: number, item: Item) => Promise<void>,
): Promise<void> {
  const left = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      try {
        await work(...next);
      } catch (error) {
        left.length = 0;
        throw error;
      }
    }
  };
  const workers = Array.from({ length: atOnce }, worker);
  try {
    await Promise.all(workers);
  } finally {
    await Promise.allSettled(workers);
  }
}
