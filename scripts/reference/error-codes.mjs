// The text of each code in ERROR_CODES is its documentation.
import { Comment, Converter, ReflectionKind } from "typedoc";

/** @param {import("typedoc").Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const property of project.getReflectionsByKind(ReflectionKind.Property)) {
      const isCode = property.isDeclaration() && property.parent?.parent?.name === "ERROR_CODES";
      if (!isCode || property.type?.type !== "literal") continue;
      property.comment = new Comment([{ kind: "text", text: String(property.type.value) }]);
    }
  });
}
