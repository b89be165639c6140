import { IncomingMessage } from "node:http";

/** Pieces that a body may come in however short it is; beyond these, one for so many bytes of it. */
const FREE_PIECES = 64;
const BYTES_A_PIECE = 512;
/** Pieces that are dropped after an answer, for the sender to read it. */
const MAX_DROPPED = 1000;
/** How long, in ms, a sender may go on with a body after its answer. */
const LINGER_MS = 2000;

/**
 * A call whose body is counted as it comes, whoever reads it or nobody: a piece takes microseconds of the event loop,
 * be it of one byte or of thousands.
 */
export class MeteredMessage extends IncomingMessage {
  #pieces = 0;
  #bytes = 0;
  #dropped = 0;
  #isAnswered = false;
  #isInPieces = false;

  /** Whether its body comes in more pieces than it may; then it gets no further, and `pieces` was emitted. */
  get isInPieces(): boolean {
    return this.#isInPieces;
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (!(chunk instanceof Uint8Array)) return super.push(chunk, encoding);
    this.#pieces++;
    this.#bytes += chunk.length;
    if (!this.#isInPieces && this.#pieces <= FREE_PIECES + this.#bytes / BYTES_A_PIECE) return super.push(chunk);
    if (!this.#isInPieces) {
      this.#isInPieces = true;
      this.emit("pieces");
    }
    if (this.#isAnswered && ++this.#dropped > MAX_DROPPED) this.socket.destroy();
    return this.#isAnswered;
  }

  /**
   * Has what still comes after the answer dropped, if it ends soon and is not in small pieces. The connection ends only
   * then, where it is to: closed while something comes, it would be reset, and the answer be lost to its caller.
   */
  linger(): void {
    const { socket } = this;
    const end = (): void => void socket.destroy();
    this.#isAnswered = true;
    // Left to Node, it would be dropped uncounted.
    this._read(0);
    this.resume();
    const timer = setTimeout(end, LINGER_MS).unref();
    const destroySoon = socket.destroySoon;
    const wait = (): void => {
      this.once("end", end);
      socket.end();
    };
    socket.destroySoon = wait;
    // The connection may have many calls after this one.
    const forget = (): void => {
      clearTimeout(timer);
      socket.off("close", forget);
      if (socket.destroySoon === wait) socket.destroySoon = destroySoon;
    };
    this.once("end", forget);
    socket.once("close", forget);
  }
}
