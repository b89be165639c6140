import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Where an ELF file says what: its own header, and that of a segment; 64 bits, little-endian, as all our platforms are. */
const SEGMENTS_AT = 32;
const SEGMENT_SIZE_AT = 54;
const SEGMENT_COUNT_AT = 56;
const OFFSET_AT = 8;
const FILE_SIZE_AT = 32;

/**
 * Whether a file is as long as its ELF header says. Linux maps one that was cut short, by a full disk or a copy that broke
 * off, and ends the process with SIGBUS where it touches what is missing. Of what is no ELF file at all the linker tells.
 *
 * @throws If the file can't be read.
 */
export function isWhole(path: string): boolean {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const head = Buffer.alloc(4096);
    const read = readSync(file, head, 0, head.length, 0);
    if (head.toString("latin1", 0, 4) !== "\x7fELF") return true;
    const first = Number(head.readBigUInt64LE(SEGMENTS_AT));
    const length = head.readUInt16LE(SEGMENT_SIZE_AT);
    const end = first + length * head.readUInt16LE(SEGMENT_COUNT_AT);
    if (end > read) return false;
    for (let at = first; at < end; at += length) {
      if (head.readBigUInt64LE(at + OFFSET_AT) + head.readBigUInt64LE(at + FILE_SIZE_AT) > size) return false;
    }
    return true;
  } finally {
    closeSync(file);
  }
}
