import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import fc from "fast-check";
import { loadStatistics } from "../../../core/calibrate/store.ts";
import { sumUnits, unitsOf } from "../../../core/calibrate/units.ts";
import { CancelledError, OptionError, StatisticsError } from "../../../core/errors.ts";
import {
  calibrateJob,
  calibratePartJob,
  type CalibratePartOptions,
  mergeJob,
  planJob,
} from "../../../core/session.ts";
import { smallModel, wordyDomain } from "../../helpers/pipeline.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";

type Options = Omit<CalibratePartOptions, "shard">;

interface Place {
  readonly model: string;
  readonly folder: string;
  readonly options: Options;
}

/** A small model and texts in files; a window fills a batch, so that there are several units a domain. */
async function withPlace<T>(use: (place: Place) => Promise<T>): Promise<T> {
  const { maxPositions: _, ...sizes } = smallModel;
  return await withRandomModel(
    { ...sizes, layers: 2, maxPositions: 1024 },
    (model) =>
      withTemporaryFolder(async (folder) => {
        const text = async (name: string) => {
          const path = join(folder, `${name}.txt`);
          await Deno.writeTextFile(path, wordyDomain(name, 60_000).text);
          return { name, path };
        };
        return await use({
          model,
          folder,
          options: {
            model,
            calibration: [await text("alpha"), await text("beta")],
            samples: 9,
            seqLen: 1024,
            self: false,
            save: join(folder, "whole.stats"),
          },
        });
      }),
  );
}

async function takeParts(
  { options, folder }: Place,
  count: number,
  changes: Partial<Options> = {},
): Promise<readonly string[]> {
  const paths: string[] = [];
  for (let index = 1; index <= count; index++) {
    const save = join(folder, `${index}-of-${count}.part`);
    await calibratePartJob({ ...options, ...changes, shard: { index, count }, save, force: true });
    paths.push(save);
  }
  return paths;
}

Deno.test("mergeJob() gives the statistics of the whole run, byte for byte, for 1 part to as many as there are units", () =>
  withPlace(async (place) => {
    const { options, folder, model } = place;
    const whole = await calibrateJob(options);
    const units = sumUnits(whole.windows!).length;
    assert(units === 8, `${units} units`);
    const wanted = await Deno.readFile(options.save);
    const plan = (stats: string, save: string) =>
      planJob({ model, stats, save, sparsity: 0.5, shape: "adaptive" });
    await plan(options.save, join(folder, "whole.plan.json"));
    for (const count of [1, 3, 5, units]) {
      const parts = await takeParts(place, count);
      const order = fc.sample(fc.shuffledSubarray([...parts], { minLength: count }), {
        numRuns: 1,
        seed: count,
      })[0];
      const save = join(folder, `merged-${count}`, "whole.stats");
      await mergeJob({ parts: order, save });
      assertEquals(await Deno.readFile(save), wanted, `${count} parts`);
      const planned = join(folder, `merged-${count}`, "whole.plan.json");
      await plan(save, planned);
      assertEquals(
        await Deno.readTextFile(planned),
        await Deno.readTextFile(join(folder, "whole.plan.json")),
      );
    }
    await assertRejects(() => takeParts(place, units + 1), OptionError, `${units} units`);
  }));

Deno.test("mergeJob() gives the statistics of the whole run where the model's own text is a domain, or all of them", () =>
  withPlace(async (place) => {
    const { options, folder } = place;
    for (const calibration of [options.calibration, []]) {
      // 68 and more sequences are sampled in groups of 64: parts sample only the groups that they sum.
      const changes = { calibration, self: true, samples: 70, seqLen: 16 };
      await calibrateJob({ ...options, ...changes, force: true });
      const save = join(folder, "merged.stats");
      await mergeJob({ parts: await takeParts(place, 3, changes), save, force: true });
      assertEquals(await Deno.readFile(save), await Deno.readFile(options.save));
    }
  }));

Deno.test("calibratePartJob() interrupted goes on and writes the same part", () =>
  withPlace(async ({ options, folder }) => {
    const shard = { index: 1, count: 2 };
    await calibratePartJob({ ...options, shard });
    const save = join(folder, "interrupted.part");
    const stop = new AbortController();
    await assertRejects(
      () =>
        calibratePartJob({
          ...options,
          shard,
          save,
          signal: stop.signal,
          onProgress: ({ layer }) => layer === 1 && stop.abort(),
        }),
      CancelledError,
    );
    await assertRejects(
      () => calibratePartJob({ ...options, shard: { index: 2, count: 2 }, save, resume: true }),
      OptionError,
      "--shard was 1/2 and is 2/2",
    );
    await calibratePartJob({ ...options, shard, save, resume: true });
    assertEquals(await Deno.readFile(save), await Deno.readFile(options.save));
  }));

Deno.test("mergeJob() refuses parts that do not make a whole, and says which", () =>
  withPlace(async (place) => {
    const { options, folder, model } = place;
    const [one, two, three] = await takeParts(place, 3);
    const save = join(folder, "merged.stats");
    const refused = async (
      parts: readonly string[],
      kind: new (message: string) => Error,
      ...says: readonly string[]
    ) => {
      const error = await assertRejects(() => mergeJob({ parts, save }), kind);
      for (const words of says) {
        assert(error.message.includes(words), `'${words}' is not in: ${error.message}`);
      }
    };
    await refused([], OptionError, "the files of all parts");
    await refused([one, three], OptionError, "part 2 of 3 is missing", "--shard 2/3");
    await refused([three], OptionError, "part 1, 2 of 3 is missing");
    await refused([one, two, three, two], OptionError, "part 2 of 3 twice", two);
    const copy = join(folder, "copy.part");
    await Deno.copyFile(two, copy);
    await refused([one, two, three, copy], OptionError, two, copy);
    await refused([one, join(folder, "none.part")], StatisticsError, "none.part");
    await refused([one, join(folder, "alpha.txt")], StatisticsError, "alpha.txt");
    await calibrateJob(options);
    await refused([one, options.save], StatisticsError, "whole statistics");
    await assertRejects(() => loadStatistics(one), StatisticsError, "gprune merge");
    const other = join(folder, "other.part");
    const shard = { index: 2, count: 3 };
    const differing = async (
      changes: Partial<CalibratePartOptions>,
      ...says: readonly string[]
    ) => {
      await calibratePartJob({ ...options, shard, ...changes, save: other, force: true });
      await refused([one, other, three], StatisticsError, one, other, ...says);
    };
    await differing({ seed: 5 }, "--seed is 0 in the first and 5 in the second");
    await differing({ samples: 8 }, "--samples is 9 in the first and 8 in the second");
    await differing({ seqLen: 512 }, "--seq-len is 1024 in the first and 512 in the second");
    await differing({ refit: "none" }, "--refit is lsq in the first and none in the second");
    await differing({ metric: "rms" }, "--metric is obs in the first and rms in the second");
    await differing({ self: true }, "is left out in the first and in in the second");
    await differing(
      { shard: { index: 2, count: 4 } },
      "the number of parts is 3 in the first and 4",
    );
    const [alpha, beta] = options.calibration!;
    await differing({ calibration: [alpha, { ...beta, name: "b" }] }, "--calib is alpha, beta in");
    const text = await Deno.readTextFile(beta.path);
    await Deno.writeTextFile(beta.path, `more ${text}`);
    await differing({}, "the text 'beta' is ");
    await Deno.writeTextFile(beta.path, text);
    const config = join(model, "config.json");
    const before = await Deno.readTextFile(config);
    await Deno.writeTextFile(config, before.replace("{", '{ "comment": "changed",'));
    await differing({}, "the model is ");
    await refused([one, two, three], StatisticsError, "another model, or has changed since");
    await Deno.writeTextFile(config, before);
    await Deno.truncate(two, (await Deno.stat(two)).size - 8);
    await refused([one, two, three], StatisticsError, two);
  }));

Deno.test("calibratePartJob() refuses parts that there are not", () =>
  withPlace(async ({ options }) => {
    for (const [index, count] of [[0, 2], [3, 2], [1, 0], [1.5, 2], [-1, 2], [NaN, 2]]) {
      await assertRejects(
        () => calibratePartJob({ ...options, shard: { index, count } }),
        OptionError,
        "parts count from 1",
      );
    }
  }));

Deno.test("unitsOf() gives every unit to exactly one part, and parts of about one size", () => {
  const windows = (count: number) => Array.from({ length: count }, () => new Int32Array(2048));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.nat(5)), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.nat(),
      (sizes, seed) => {
        const domains = sizes.map(([calibration, heldOut], index) => ({
          name: `${index}`,
          calibration: windows(calibration),
          heldOut: windows(heldOut),
        }));
        const units = sumUnits(domains);
        const count = 1 + seed % units.length;
        const parts = Array.from(
          { length: count },
          (_, index) => unitsOf(units, { index: index + 1, count }),
        );
        assertEquals(parts.flat(), units);
        const lengths = parts.map((part) => part.length);
        assert(Math.max(...lengths) - Math.min(...lengths) <= 1 && Math.min(...lengths) >= 1);
      },
    ),
  );
});
