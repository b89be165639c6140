import { LuaFactory } from "wasmoon";

/** @typedef {Map<string, string>} Fields Header fields of a call on its way to the app, by name in lower case. */

/**
 * Runs the Lua of the plugin `pre-function` itself, with the two functions of Kong's that it calls.
 *
 * @param {readonly string[]} code
 * @returns {Promise<(fields: Fields) => void>}
 */
export async function compilePreFunction(code) {
  const lua = await new LuaFactory().createEngine();
  /** @type {Fields} */
  let current = new Map();
  lua.global.set("list_fields", () => [...current.keys()].join("\n"));
  lua.global.set("clear_field", (/** @type {string} */ name) => current.delete(name.toLowerCase()));
  await lua.doString(`
    kong = {
      request = {
        get_headers = function(most)
          local fields = {}
          for name in list_fields():gmatch("[^\\n]+") do
            if most == 0 then break end
            most = most - 1
            fields[name] = "there"
          end
          return fields
        end,
      },
      service = { request = { clear_header = clear_field } },
    }
    function access()
      ${code.join("\n")}
    end
  `);
  const access = /** @type {() => void} */ (lua.global.get("access"));
  return (fields) => {
    current = fields;
    access();
  };
}
