import { LuaFactory } from "wasmoon";

/** Header fields of a call on its way to the app, by name in lower case. */
export type Fields = Map<string, string>;

/** Runs the Lua of the plugin `pre-function` itself, with the two functions of Kong's that it calls. */
export async function compilePreFunction(code: readonly string[]): Promise<(fields: Fields) => void> {
  const lua = await new LuaFactory().createEngine();
  let current: Fields = new Map();
  lua.global.set("list_fields", () => [...current.keys()].join("\n"));
  lua.global.set("clear_field", (name: string) => current.delete(name.toLowerCase()));
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
  const access = lua.global.get("access") as () => void;
  return (fields) => {
    current = fields;
    access();
  };
}
