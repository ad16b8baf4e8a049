/**
 * Numbers that stay in their file until somebody looks at them: those of one layer are small, those of all layers of a
 * deep model are not, and hardly anybody looks at more than one layer at a time.
 * @module
 */
import { readTensorBytesSync } from "../model/tensor_reader.ts";
import type { TensorView } from "../model/types.ts";

/**
 * Makes every field read itself at each look. What was read stays as long as anybody holds it, and at least until the
 * caller lets the event loop go on, so that loops over a field's numbers read them once.
 *
 * @param views What the fields are in the file, all of F64
 * @returns An object with these fields as arrays, of the length of their tensors; a look throws a ModelError if the file
 *   has gone
 */
export function readWhenAsked<Field extends string>(
  views: Readonly<Record<Field, TensorView>>,
): Readonly<Record<Field, Float64Array<ArrayBuffer>>> {
  const numbers = {};
  for (const [field, view] of Object.entries<TensorView>(views)) {
    let known: WeakRef<Float64Array> | undefined;
    const get = () => {
      const found = known?.deref();
      if (found !== undefined) return found;
      const read = new Float64Array(readTensorBytesSync(view).buffer);
      known = new WeakRef(read);
      return read;
    };
    // Spreading the object has to take the numbers along.
    Object.defineProperty(numbers, field, { get, enumerable: true });
  }
  return numbers as Readonly<Record<Field, Float64Array<ArrayBuffer>>>;
}
