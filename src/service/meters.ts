/** What is sold: calls of a route, whichever of its addresses they are made by. */
export const METERS = ["identify", "compare", "batch"] as const;
