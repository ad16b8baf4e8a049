import { assertEquals } from "@std/assert";
import { fixedBytes } from "../../../core/session/memory/memory_needs.ts";
import { wholeFilesBytes } from "../../../core/session/memory/whole_files.ts";
import { withSmallModel } from "../../helpers/pipeline.ts";

Deno.test("wholeFilesBytes() counts the process, each file five times, and embedding and head in float32", () =>
  withSmallModel(({ architecture }) => {
    const sizes = { ...architecture, vocabularySize: 1000, hiddenSize: 10 };
    const own = wholeFilesBytes({ ...sizes, tiedEmbedding: false }, [100]);
    assertEquals(own, fixedBytes + 5 * 100 + 2 * 4 * 1000 * 10);
    const tied = wholeFilesBytes({ ...sizes, tiedEmbedding: true }, [100, 70]);
    assertEquals(tied, fixedBytes + 5 * 170 + 2 * 4 * 1000 * 10);
    return Promise.resolve();
  }));
