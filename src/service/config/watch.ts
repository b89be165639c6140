import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import { readText } from "./text.js";

/** How long, in ms, a change is waited out: editors and Kubernetes take several steps. */
const SETTLE_MS = 50;
/** How often, in ms, the file is looked at where no event tells of a change, as on some networked file systems. */
const LOOK_MS = 5000;

/**
 * Tells when the text of a file has changed. What is watched is its folder: editors put another file in its place, and
 * Kubernetes changes a link beside it.
 *
 * @returns What ends the watch.
 */
export function watchFile(path: string, changed: () => void): () => void {
  let text = textOf(path);
  let watcher: FSWatcher | undefined;
  let pending: NodeJS.Timeout | undefined;

  const look = (): void => {
    pending = undefined;
    const now = textOf(path);
    if (now === text) return;
    text = now;
    changed();
  };
  const unwatch = (): void => {
    watcher?.close();
    watcher = undefined;
  };
  const watchFolder = (): void => {
    try {
      watcher = watch(dirname(path), { persistent: false }, () => {
        pending ??= setTimeout(look, SETTLE_MS).unref();
      }).on("error", unwatch);
    } catch {
      unwatch(); // Without events it is looked at all the same.
    }
  };

  watchFolder();
  const looking = setInterval(() => {
    if (watcher === undefined) watchFolder();
    look();
  }, LOOK_MS).unref();
  return () => {
    clearInterval(looking);
    clearTimeout(pending);
    unwatch();
  };
}

/** What keeps it from being read is a change like any other. */
function textOf(path: string): string | undefined {
  try {
    const found = readText(path);
    return "text" in found ? found.text : found.problem;
  } catch {
    return undefined;
  }
}
