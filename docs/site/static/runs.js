// Puts the viewer in the place of each timeline. The still picture is left for readers without
// JavaScript, and above the viewer if it shows more than the run.
const CAPTION = "The same, to step through:";
window.fiberlab = { mount, viewers: [] };
for (const figure of document.querySelectorAll(".fiberlab-run")) {
  const root = document.createElement("div");
  const picture = figure.querySelector("img");
  const { alone, options } = JSON.parse(figure.dataset.about);
  if (!alone) figure.append(Object.assign(document.createElement("figcaption"), { textContent: CAPTION }));
  figure.append(root);
  window.fiberlab.viewers.push(await mount(root, picturesIn(figure), options));
  picture.hidden = alone;
}
