/**
 * `deno task fuzz`: every reader on hostile files, with a table of what came of it.
 *
 *     deno task fuzz [READER…] [--cases N] [--seed S]
 * @module
 */
import { fuzz } from "./fuzz.ts";
import { readerNames } from "./readers/names.ts";

const option = (name: string, standIn: number) => {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? standIn : Number(Deno.args[at + 1]);
};
const cases = option("cases", 20_000);
const seed = option("seed", Date.now() % 2 ** 31);
const wanted = readerNames.filter((name) => Deno.args.includes(name));

console.log(`${cases} cases a reader, seed ${seed}\n`);
console.log("| reader | cases | read | refused | longest | most memory over the file | failures |");
console.log("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
let failures = 0;
for (const name of wanted.length > 0 ? wanted : readerNames) {
  const summary = await fuzz(name, { cases, seed });
  const { accepted, failure } = summary;
  const cells = [
    name,
    summary.cases,
    accepted,
    summary.cases - accepted,
    `${Math.round(summary.mostMilliseconds)} ms`,
    `${Math.max(0, summary.mostMemory / 2 ** 20).toFixed(0)} MiB`,
    failure === undefined ? 0 : 1,
  ];
  console.log(`| ${cells.join(" | ")} |`);
  if (failure === undefined) continue;
  failures++;
  console.error(
    `Reader '${name}' ${failure.reason}\nseed ${seed}, path ${failure.path}, file ${failure.file}`,
  );
}
console.log(failures === 0 ? "\nNo failures" : `\n${failures} readers failed`);
Deno.exit(failures === 0 ? 0 : 1);
