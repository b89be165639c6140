import { LuaFactory } from "wasmoon";
import { linesOf } from "./fields.mjs";

/** @typedef {import("./fields.mjs").Fields} Fields */

/** @typedef {{ status: number, type?: string, body: string }} Answer What the gateway answers by itself. */

/**
 * Runs the Lua of the plugin `pre-function` itself, with the functions of Kong's that it may call.
 *
 * @param {readonly string[]} code
 * @returns {Promise<(fields: Fields) => Answer | undefined>} What it answers, if it lets a call go no further.
 */
export async function compilePreFunction(code) {
  const lua = await new LuaFactory().createEngine();
  /** @type {Fields} */
  let current = new Map();
  /** @type {Answer | undefined} */
  let answer;
  lua.global.set("list_lines", () =>
    [...current.keys()].flatMap((name) => linesOf(current, name).map((line) => `${name}:${line}\n`)).join(""),
  );
  lua.global.set("clear_field", (/** @type {string} */ name) => current.delete(name.toLowerCase()));
  lua.global.set(
    "exit_with",
    (/** @type {number} */ status, /** @type {string} */ body, /** @type {string} */ type) => {
      answer = { status, body, type };
    },
  );
  await lua.doString(`
    local EXIT = {}
    local BY_NAME = { __index = function(fields, name) return rawget(fields, (name:lower():gsub("_", "-"))) end }
    kong = {
      request = {
        get_headers = function(most)
          local fields = setmetatable({}, BY_NAME)
          local left = most or 100
          for name, line in list_lines():gmatch("([^:\\n]*):([^\\n]*)\\n") do
            if left == 0 then break end
            left = left - 1
            local before = rawget(fields, name)
            if before == nil then fields[name] = line
            elseif type(before) == "table" then before[#before + 1] = line
            else fields[name] = { before, line } end
          end
          return fields
        end,
        get_header = function(name)
          local value = kong.request.get_headers()[name]
          return type(value) == "table" and value[1] or value
        end,
      },
      response = {
        exit = function(status, body, headers)
          exit_with(status, body or "", headers and headers["Content-Type"] or "application/json")
          error(EXIT)
        end,
      },
      service = { request = { clear_header = clear_field } },
    }
    local function run()
      ${code.join("\n")}
    end
    function access()
      local done, problem = pcall(run)
      if not done and problem ~= EXIT then error(problem) end
    end
  `);
  const access = /** @type {() => void} */ (lua.global.get("access"));
  return (fields) => {
    current = fields;
    answer = undefined;
    access();
    return answer;
  };
}
