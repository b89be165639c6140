/** All collectors of a scrape run in one turn, and see one reading. */
export function oncePerScrape<T>(read: () => T): () => T {
  let reading: { value: T } | undefined;
  return () => {
    if (reading === undefined) {
      reading = { value: read() };
      queueMicrotask(() => {
        reading = undefined;
      });
    }
    return reading.value;
  };
}
