import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

const SECRET_BYTES = 32;
const SECRET_LENGTH = 43; // 62^43 is the first power of 62 above 2^256.
const CHECKSUM_LENGTH = 6; // 62^6 is the first one above 2^32.
const FORM = /^(fpk_[a-z]{1,16}_[0-9A-Za-z]{43})_([0-9A-Za-z]{6})$/;

/**
 * A key like no other: `fpk_<env>_<32 random bytes, base62>_<checksum>`, where the checksum is the CRC-32 of what stands
 * before it, in base62.
 *
 * @param environment 1 to 16 letters a–z.
 */
export function newKeyText(environment: string): string {
  const secret = base62(BigInt(`0x${randomBytes(SECRET_BYTES).toString("hex")}`), SECRET_LENGTH);
  const text = `fpk_${environment}_${secret}`;
  return `${text}_${checksum(text)}`;
}

/** Whether a text can be a key at all: its checksum tells most typing errors without a look-up. */
export function isWellFormed(key: string): boolean {
  const [, text, sum] = FORM.exec(key) ?? [];
  return text !== undefined && sum === checksum(text);
}

function checksum(text: string): string {
  return base62(BigInt(crc32(text)), CHECKSUM_LENGTH);
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function base62(value: bigint, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest /= 62n) text = DIGITS.charAt(Number(rest % 62n)) + text;
  return text;
}
