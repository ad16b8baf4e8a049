/**
 * What `gprune doctor` finds on this machine.
 * @module
 */
import { describeEngines, type EngineDescriptions } from "../core/engine/describe.ts";
import { hubSettings } from "../core/model/hub.ts";
import { openModel } from "../core/model/open.ts";
import { formatCount } from "./format.ts";
import type { Diagnosis } from "./tables/diagnosis.ts";
import { version } from "./version.ts";
import config from "../deno.json" with { type: "json" };

/**
 * Looks at this machine.
 *
 * @returns What was found
 */
export async function diagnose(): Promise<Diagnosis> {
  const engines = await describeEngines();
  const embedded = await lookForModel();
  const wanted = config.imports["onnxruntime-node"].split("@").at(-1);
  const { total, available } = Deno.systemMemoryInfo();
  return {
    schema: "gprune.doctor/1",
    versions: {
      gprune: version,
      deno: Deno.version.deno,
      "onnxruntime-node": engines.onnx.version ?? `${wanted} wanted, and not loaded`,
    },
    system: `${Deno.build.os} ${Deno.build.arch}, ${navigator.hardwareConcurrency} threads`,
    engines,
    memory: { total, available },
    cache: cacheFolder(),
    embedded,
    advice: adviceOn(engines, embedded.found, available),
  };
}

function adviceOn(
  engines: EngineDescriptions,
  embedded: boolean,
  available: number,
): readonly string[] {
  const advice: string[] = [];
  if (!engines.onnx.available) {
    advice.push(
      "Nothing can run models: run 'deno install' in gprune's folder to get ONNX Runtime",
    );
  }
  if (!embedded) {
    advice.push(
      "The embedded model is missing: name a model on every command, or install gprune again",
    );
  }
  if (available < 1e9) {
    advice.push(
      "Less than 1 GB of memory is free: close other programs before pruning larger models",
    );
  }
  return advice;
}

async function lookForModel(): Promise<Diagnosis["embedded"]> {
  try {
    const model = await openModel();
    return { found: true, message: `${model.name}, ${formatCount(model.parameters)} parameters` };
  } catch (error) {
    return { found: false, message: messageOf(error) };
  }
}

function cacheFolder(): string {
  try {
    return hubSettings().cacheFolder;
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
