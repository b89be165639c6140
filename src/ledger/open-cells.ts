import type { Engine } from "../engine/engine.js";
import type { Cells, CellsOptions } from "./cells.js";
import { JsCells } from "./js-cells.js";
import { NativeCells } from "./native-cells.js";

/**
 * Opens the cells of an engine, or joins those that are open: in Rust where the engine is.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_STORAGE_…`
 */
export function openCells(engine: Engine, options: CellsOptions): Cells {
  return NativeCells.open(engine, options) ?? JsCells.open(engine, options);
}
