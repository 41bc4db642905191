"""A server to attach to: it echoes, says what state it is in, and may block.

SIGUSR1 lets it run a script between two instructions of its main thread, which is what
``sys.remote_exec`` does where Python has it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time


def run_script(*_):
    with open(sys.argv[1], encoding="utf-8") as file:
        exec(compile(file.read(), "<string>", "exec"), {})


def state():
    """Return all of this process that a recorder could leave something in."""
    loop = asyncio.get_running_loop()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "modules": sorted(name for name in sys.modules if "fiberlab" in name),
        "files": len(os.listdir("/proc/self/fd")),
        "path": sys.path,
        "loop": [type(loop).__name__, sorted(vars(loop)), sorted(vars(loop._selector))],
        "task": str(asyncio.Task.__init__),
        "hooks": [str(sys.gettrace()), str(sys.getprofile()), str(threading.gettrace())],
        "switch": sys.getswitchinterval(),
    }


async def serve(reader, writer):
    while data := await reader.read(100):
        if data == b"state":
            data = json.dumps(state()).encode() + b"\n"
        elif data == b"block":
            time.sleep(0.08)
        elif data == b"end":
            os._exit(0)
        writer.write(data)
        await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(os.getpid(), server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, run_script)
    asyncio.run(main())
