import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** Bytes of a configuration file: far more than tiers take, and little enough for calls to wait while it is read. */
export const MAX_FILE_BYTES = 1024 * 1024;

/** What there is at the path of a configuration file: its text, or what keeps it from being one. */
export type Text = { text: string; mode: number } | { problem: string };

/**
 * Reads a configuration file, but neither one that is too large nor what is no file: a pipe would be waited for.
 *
 * @throws as `node:fs` does
 */
export function readText(path: string): Text {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) return { problem: "it is no regular file" };
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null);
    }
    if (length > MAX_FILE_BYTES) {
      return { problem: `the file has ${Math.max(stat.size, length)} bytes; it may have ${MAX_FILE_BYTES}` };
    }
    return { text: bytes.toString("utf8", 0, length), mode: stat.mode };
  } finally {
    closeSync(file);
  }
}
