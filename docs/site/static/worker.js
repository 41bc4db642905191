// Python in a worker, so that the page can stop a program that does not end.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const bytesOf = async (name) => (await fetch(new URL(name, import.meta.url))).arrayBuffer();
const python = await loadPyodide();
python.unpackArchive(await bytesOf("fiberlab.zip"), "zip", { extractDir: "/course" });
python.runPython("import sys; sys.path.insert(0, '/course')");
const run = python.pyimport("driver").run;

onmessage = ({ data }) => {
  const told = run(data);
  postMessage(told.toJs({ dict_converter: Object.fromEntries }));
  told.destroy();
};
postMessage({ ready: true });
