// The page "Try it here": hands a program to Python in a worker, and shows what came of it.
// What a program says is put in as text.
(async () => {
  const part = (name) => document.getElementById(`try-${name}`);
  const [choice, source, run, stop] = ["choice", "source", "run", "stop"].map(part);
  const [state, said, wrong, shown] = ["state", "said", "wrong", "shown"].map(part);
  const here = document.currentScript.src;
  if (location.protocol === "file:") {
    state.textContent = "A page from disk may not load Python: serve the site, with"
      + " python -m http.server --bind 127.0.0.1 --directory site";
    return;
  }
  let worker;

  function begin() {
    worker = new Worker(new URL("worker.js", here), { type: "module" });
    worker.onmessage = ({ data }) => (data.ready ? ready("Ready.") : tell(data));
    worker.onerror = () => {
      if (stop.disabled) return (state.textContent = "Python could not be loaded.");
      wrong.textContent = "Python itself has failed: did a function call itself without end?";
      again("Python is loading again.");
    };
  }

  /** Begin with a new Python: nothing else ends a program that does not end. */
  function again(words) {
    worker.terminate();
    stop.disabled = true;
    state.textContent = words;
    begin();
  }

  function ready(words) {
    state.textContent = words;
    run.disabled = false;
    stop.disabled = true;
  }

  function start() {
    if (run.disabled) return;
    run.disabled = true;
    stop.disabled = false;
    state.textContent = "Running.";
    tell({ said: "", wrong: "", pictures: [] });
    worker.postMessage(source.value);
  }

  async function tell(told) {
    said.textContent = told.said;
    said.hidden = !told.said;
    wrong.textContent = told.wrong;
    shown.replaceChildren();
    if (told.pictures.length) {
      const root = document.createElement("div");
      shown.append(root);
      window.fiberlab.viewers = [await window.fiberlab.mount(root, told.pictures, told.options)];
    }
    if (told.options) ready(told.wrong ? "It went wrong." : "It has ended.");
  }

  stop.addEventListener("click", () => again("Stopped. Python is loading again."));
  run.addEventListener("click", start);
  source.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) start();
  });
  begin();
  const programs = await (await fetch(new URL("programs.json", here))).json();
  choice.replaceChildren(...programs.map(([title]) => new Option(title)));
  choice.addEventListener("change", () => { source.value = programs[choice.selectedIndex][1]; });
  source.value = programs[0][1];
})();
