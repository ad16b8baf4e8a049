/** A worker that answers every task but two, at which it dies: loudly at `measure`, and with a last word at `sample`. */
const scope = globalThis as unknown as {
  onmessage: (message: MessageEvent) => void;
  postMessage: (message: unknown) => void;
};

scope.onmessage = ({ data }) => {
  if (data.type !== "start") return;
  if (data.task === "measure") {
    queueMicrotask(() => {
      throw new Error("out of luck");
    });
  } else if (data.task === "sample") {
    scope.postMessage({ type: "broken", id: -1, message: "out of words" });
  } else scope.postMessage({ type: "done", id: data.id, result: data.options });
};
