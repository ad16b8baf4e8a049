import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  CancelledError,
  ExportError,
  ModelError,
  OptionError,
  TextError,
} from "../../core/errors.ts";
import { run } from "./command_line.ts";

/** Command lines that are wrong, and what their sentence must name. */
const wrong: readonly (readonly [args: string, says: string])[] = [
  ["prnue", "did you mean 'prune'?"],
  ["prune --sparsty 0.3", "did you mean '--sparsity'?"],
  ["prune --xyzzy", "see 'gprune prune --help'"],
  ["nothing-like-it", "see 'gprune --help'"],
  ["prune a b", "Too many arguments"],
  ["prune --sparsity", "--sparsity <X>"],
  ["prune --sparsity NaN", "--sparsity 'NaN'"],
  ["prune --sparsity -0.1", "--sparsity '-0.1'"],
  ["prune --sparsity 1", "--sparsity '1'"],
  ["prune --sparsity 1.5", "--sparsity '1.5'"],
  ["prune --sparsity Infinity", "--sparsity 'Infinity'"],
  ["prune --sparsity 0x1", "--sparsity '0x1'"],
  ["prune --sparsity 30", "write 0.3 for 30 %"],
  ["prune --sparsity 30%", "write 0.3 for 30 %"],
  ["prune --sparsity=", "--sparsity ''"],
  ["prune --sparsity 0.3,0.5", "--sparsity '0.3,0.5'"],
  ["prune --method wnda-sp", "did you mean 'wanda-sp'?"],
  ["prune --method other", "gprune, flap, wanda-sp, magnitude, random"],
  ["prune --metric wif", "did you mean 'wifv'?"],
  ["prune --metric magnitude", "wanda-sp, wifv, rms, obs"],
  ["prune --method flap --metric obs", "--method gprune alone"],
  ["prune --shape unifrom", "did you mean 'uniform'?"],
  ["prune --refit lqs", "did you mean 'lsq'?"],
  ["prune --structures ffn,head", "did you mean 'heads'?"],
  ["prune --structures ffn,ffn", "'ffn' twice"],
  ["prune --structures ffn,", "empty entry"],
  ["prune --structures=", "empty entry"],
  ["prune --engine onxx", "did you mean 'onnx'?"],
  ["prune --memory 3", "--memory '3' is no size"],
  ["prune --memory GB", "write for instance --memory 3GB"],
  ["prune --memory -3GB", "'-3GB' is no size"],
  ["prune --memory 3PB", "'3PB' is no size"],
  ["prune --memory 0GB", "'0GB' is no size"],
  ["prune --memory 1.2.3GB", "'1.2.3GB' is no size"],
  ["prune --memory 3e9", "'3e9' is no size"],
  ["prune --memory 10kB", "less than a megabyte"],
  ["prune --memory=", "'' is no size"],
  ["prune --dtype fp16", "did you mean 'f16'?"],
  ["prune --switch magnitde", "did you mean 'magnitude'?"],
  ["prune --objective best", "mean, worst"],
  ["prune --samples 0", "--samples '0'"],
  ["prune --samples 1.5", "--samples '1.5'"],
  ["prune --samples many", "--samples 'many'"],
  ["prune --seq-len 1", "whole number from 2"],
  ["prune --seed -1", "--seed '-1'"],
  ["prune --seed 99999999999999999999", "--seed"],
  ["prune --modules 0", "--modules '0'"],
  ["prune --multiple 0", "--multiple '0'"],
  ["prune --eval-windows 0", "--eval-windows '0'"],
  ["prune --protect one", "--protect 'one'"],
  ["prune --protect 3-1", "--protect '3-1'"],
  ["prune --protect 99999", "--protect '99999'"],
  ["prune --calib wiki.txt", "--calib wiki=wiki.txt"],
  ["prune --calib =wiki.txt", "no name before the '='"],
  ["prune --calib wiki=", "no path after the '='"],
  ["prune --calib a,b=wiki.txt", "comma"],
  ["prune --calib a/b=wiki.txt", "slash"],
  ["prune --calib self=wiki.txt", "sampled from the model itself"],
  ["prune --calib a=1.txt --calib a=2.txt", "name that is taken"],
  ["prune --eval a=1.txt --eval a=2.txt", "name that is taken"],
  ["prune --eval wiki", "NAME=PATH"],
  ["prune --calib a=1.txt --calib b=2.txt --score-domains c", "a, b, self"],
  ["prune --calib wiki=1.txt --no-self --score-domains wkii", "did you mean 'wiki'?"],
  ["prune --score-domains a,a", "'a' twice"],
  ["prune --out=", "--out is empty"],
  ["prune --format ggfu", "did you mean 'gguf'?"],
  ["prune --format hf,hf", "'hf' twice"],
  ["prune --quantize q8", "'q8', which is of onnx alone: hf takes --dtype instead"],
  [
    "prune --format onnx --quantize q8_0",
    "'q8_0', which is of gguf alone: onnx takes none, f16, q8, q4",
  ],
  ["prune --format hf,onnx --quantize q4,q4_0", "'q4_0', which is of gguf alone"],
  ["prune --format onnx --quantize q4,q4", "'q4' twice"],
  ["export --out x --format onnx --quantize int8", "--quantize 'int8'"],
  ["export --out x --format onnx --dtype f16", "--dtype 'f16' is of --format hf alone"],
  ["export --out x --format gguf --zero-pad", "--zero-pad is of --format hf alone; gguf holds"],
  ["prune --format gguf --quantize q8", "'q8', which is of onnx alone: gguf takes f16, q8_0, q4_0"],
  ["apply --plan x --out y --format onxx", "did you mean 'onnx'?"],
  ["prune --quantize q9", "--quantize 'q9'"],
  ["prune --task quiz.jsonl", "--task wiki=quiz.jsonl"],
  ["prune --task a=1.jsonl --task a=2.jsonl", "name that is taken"],
  ["evaluate --task =b.jsonl", "no name before the '='"],
  ["evaluate --choice", "--no-choice"],
  ["compare --no-choice", "--choice"],
  ["evaluate --sparsity 0.3", "--sparsity"],
  ["calibrate", "--save"],
  ["plan --save x", "--stats"],
  ["plan --stats x", "--save"],
  ["apply --out x", "--plan"],
  ["apply --plan x", "--out"],
  ["export --format hf", "--out"],
  ["compare --sparsity 0.3,1", "--sparsity '1'"],
  ["compare --sparsity 0.3,0.3", "'0.3' twice"],
  ["compare --methods gprune,flop", "did you mean 'flap'?"],
  ["compare --refit lsq,bais", "did you mean 'bias'?"],
  ["compare --json --csv", "cannot be used with"],
  ["compare --csv --markdown", "cannot be used with"],
  ["compare --markdown --json", "cannot be used with"],
  ["compare --task quiz.jsonl", "--task wiki=quiz.jsonl"],
  ["compare --method gprune", "did you mean '--methods'?"],
  ["doctor model", "Too many arguments"],
];

for (const [args, says] of wrong) {
  Deno.test(`runCommandLine() refuses 'gprune ${args}' in one sentence`, async () => {
    const { code, out, err, job } = await run(args.split(" "));
    assertEquals(code, 2, err);
    assertEquals(out, "");
    assertEquals(job, undefined);
    assertStringIncludes(err, says);
    assertMatch(err, /^error: [A-Z-].*[^.]\n$/);
    assertEquals(err.trimEnd().split("\n").length, 1);
  });
}

Deno.test("runCommandLine() says what the library's errors say, as they are", async () => {
  for (
    const [error, code] of [
      [new ModelError("Cannot open model '/x': no such folder"), 1],
      [new TextError("Cannot use text 'a': '/nowhere.txt' is missing"), 1],
      [new ExportError("Cannot write '/x': it exists; use --force to replace it"), 1],
      [new OptionError("Cannot prune with one domain: give another --calib"), 2],
    ] as const
  ) {
    const outcome = await run(["prune"], { jobs: { prune: () => Promise.reject(error) } });
    assertEquals(outcome.code, code);
    assertEquals(outcome.out, "");
    assertEquals(outcome.err, `error: ${error.message}\n`);
  }
});

Deno.test("runCommandLine() asks for a report where an error was not foreseen", async () => {
  const error = new TypeError("x is not\n  a function.");
  const { code, err } = await run(["prune"], { jobs: { prune: () => Promise.reject(error) } });
  assertEquals(code, 1);
  assertEquals(
    err,
    "error: Unexpected error: x is not a function; run again with --debug and report it\n",
  );
});

Deno.test("runCommandLine() shows the stack and the cause with --debug alone", async () => {
  const cause = new Error("the disk is full");
  const jobs = { prune: () => Promise.reject(new ExportError("Cannot write 'x'", { cause })) };
  assert(!(await run(["prune"], { jobs })).err.includes("    at "));
  for (const args of [["prune", "--debug"], ["--debug", "prune"]]) {
    const { err } = await run(args, { jobs });
    assertMatch(err, /^error: Cannot write 'x'\n/);
    assertMatch(err, /^\s+at /m);
    assertStringIncludes(err, "Caused by: Error: the disk is full");
  }
});

Deno.test("runCommandLine() exits 130 when interrupted and says how to go on", async () => {
  const jobs = {
    prune: () => Promise.reject(new CancelledError("The work was cancelled")),
    compare: () => Promise.reject(new CancelledError("The work was cancelled")),
  };
  const resumable = await run(["prune"], { jobs });
  assertEquals([resumable.code, resumable.err], [130, "Interrupted; go on with --resume\n"]);
  const other = await run(["compare"], { jobs });
  assertEquals([other.code, other.err], [130, "Interrupted\n"]);
});

Deno.test("runCommandLine() exits 130 whatever a job throws after an interruption", async () => {
  const controller = new AbortController();
  const jobs = {
    prune: () => {
      controller.abort();
      return Promise.reject(new DOMException("aborted", "AbortError"));
    },
  };
  assertEquals((await run(["prune"], { jobs, signal: controller.signal })).code, 130);
});

Deno.test("gprune tui fails with what to use instead", async () => {
  const { code, err } = await run(["tui", "model", "--sparsity", "0.3"]);
  assertEquals(code, 1);
  assertStringIncludes(err, "use gprune prune");
  assertEquals(err.trimEnd().split("\n").length, 1);
});

Deno.test("runCommandLine() colours errors on a terminal, and not where that is unwanted", async () => {
  const terminal = { errorIsTerminal: true };
  assertStringIncludes((await run(["prnue"], { terminal })).err, "\x1b[31m");
  assert(!(await run(["prnue", "--no-color"], { terminal })).err.includes("\x1b["));
  const environment = (name: string) => name === "NO_COLOR" ? "1" : undefined;
  assert(!(await run(["prnue"], { terminal: { ...terminal, environment } })).err.includes("\x1b["));
  assert(!(await run(["prnue"])).err.includes("\x1b["));
});

Deno.test("gprune alone prints its help unless a person sits at both ends", async () => {
  for (const terminal of [{}, { outputIsTerminal: true }, { inputIsTerminal: true }]) {
    const { code, out } = await run([], { terminal });
    assertEquals(code, 0);
    assertStringIncludes(out, "gprune [options] [command]");
  }
  const { code, err } = await run(["tui"], { terminal: { outputIsTerminal: true } });
  assertEquals(code, 1);
  assertMatch(err, /^error: Cannot open the session without a terminal: use gprune prune/);
});
