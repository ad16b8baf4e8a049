/** Names of all readers that are fuzzed, without the readers themselves. */
export const readerNames = [
  "safetensors",
  "index",
  "config",
  "tokenizer",
  "statistics",
  "part",
  "journal",
  "plan",
  "text-jsonl",
  "task-jsonl",
  "sessions",
  "hub-listing",
  "hub-record",
  "model",
  "gguf",
  "gguf-tokenizer",
  "onnx",
] as const;

/** Name of a reader. */
export type ReaderName = typeof readerNames[number];
