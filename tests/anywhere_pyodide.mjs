// Runs a Python program in Pyodide, which is Python compiled to WebAssembly.
//
//   node anywhere_pyodide.mjs PYODIDE ROOT PROGRAM
//
// PYODIDE is the folder of npm's package; PROGRAM is a file below ROOT, which is put on sys.path.

import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';

const [folder, root, program] = process.argv.slice(2);
const {loadPyodide} = await import(pathToFileURL(resolve(folder, 'pyodide.mjs')));
const python = await loadPyodide();
python.FS.mkdirTree('/fiberlab');
python.FS.mount(python.FS.filesystems.NODEFS, {root: resolve(root)}, '/fiberlab');
python.globals.set('program', '/fiberlab/' + program);
python.runPython(`
import runpy, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "/fiberlab")
runpy.run_path(program, run_name="__main__")
`);
