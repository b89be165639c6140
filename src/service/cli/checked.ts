import type { z } from "zod";
import { CommandError } from "./exit.js";

/**
 * What a route would take, of something that is done without one.
 *
 * @param field Names it in the message, if it is one of several.
 * @throws {CommandError} `body_invalid`
 */
export function checked<T extends z.ZodType>(schema: T, given: unknown, field?: string): z.infer<T> {
  const { success, data, error } = schema.safeParse(given);
  if (success) return data;
  const [issue] = error.issues;
  const path = [...(field === undefined ? [] : [field]), ...(issue?.path ?? [])].join(".");
  throw new CommandError("body_invalid", `${path === "" ? "" : `${path}: `}${issue?.message}`);
}
