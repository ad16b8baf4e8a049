/**
 * The form in which a person says what to write, and where.
 * @module
 */
import { editText, type Key } from "./reducer.ts";

/** A format that can be written. */
export interface FormatChoice {
  /** The name of the format. */
  readonly format: string;
  /** How its numbers can be stored, the default first. */
  readonly storages: readonly string[];
  /** The place in `storages`. */
  readonly storage: number;
  /** Whether it is written. */
  readonly chosen: boolean;
}

/** The form. */
export interface WriteForm {
  /** Whether the model is written, or the plan alone. */
  readonly what: "model" | "plan";
  /** The folder for the model, as the user would type it. */
  readonly folder: string;
  /** The file for the plan. */
  readonly planFile: string;
  /** The formats. */
  readonly formats: readonly FormatChoice[];
  /** Whether what is there may be replaced. */
  readonly force: boolean;
  /** The field under the cursor. */
  readonly field: number;
}

/** A field of the form. */
export type Field =
  | { readonly type: "what" | "path" | "force" }
  | { readonly type: "format"; readonly index: number };

/**
 * The fields of a form, from the top.
 *
 * @param form The form
 * @returns The fields
 */
export function formFields(form: WriteForm): readonly Field[] {
  const formats = form.what === "plan"
    ? []
    : form.formats.map((_, index) => ({ type: "format" as const, index }));
  return [{ type: "what" }, { type: "path" }, ...formats, { type: "force" }];
}

/**
 * Takes in a key.
 *
 * @param form The form
 * @param key The key
 * @returns The form after it
 */
export function changeForm(form: WriteForm, key: Key): WriteForm {
  const fields = formFields(form);
  const move = (by: number) => ({
    ...form,
    field: (form.field + by + fields.length) % fields.length,
  });
  if (key.type === "up") return move(-1);
  if (key.type === "down" || key.type === "tab") return move(1);
  const field = fields[form.field];
  if (field.type === "path") {
    return form.what === "plan"
      ? { ...form, planFile: editText(form.planFile, key) }
      : { ...form, folder: editText(form.folder, key) };
  }
  const toggles = key.type === "text" && key.text === " ";
  const turns = key.type === "left" ? -1 : key.type === "right" ? 1 : 0;
  if (field.type === "format") return changeFormat(form, field.index, toggles, turns);
  if (!toggles && turns === 0) return form;
  return field.type === "what"
    ? { ...form, what: form.what === "model" ? "plan" : "model" }
    : { ...form, force: !form.force };
}

function changeFormat(
  form: WriteForm,
  at: number,
  toggles: boolean,
  turns: number,
): WriteForm {
  const formats = form.formats.map((each, index) => {
    if (index !== at) return each;
    const count = each.storages.length;
    const storage = (each.storage + turns + count) % count;
    // Who looks for a way to store a format wants the format.
    return { ...each, storage, chosen: toggles ? !each.chosen : each.chosen || turns !== 0 };
  });
  return formats.some(({ chosen }) => chosen) ? { ...form, formats } : form;
}
