"""Injected: the script that `attach` lets another process run; it is not imported.

The rule kept here: it does nothing unless the same user's `attach` waits for it, and never
disturbs the process: no exception leaves it, and it leaves no name. It may run long after it was
asked for, when the process comes to itself again. Then nobody waits, and that is all.
"""


def _enter() -> None:
    import os
    import sys

    # gevent puts its own in the place of sockets and threads: they would wait in its loop.
    patched = getattr(sys.modules.get("gevent.monkey"), "saved", None)
    from _socket import AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, socket

    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.connect(f"\0fiberlab attach {os.getpid()}")
        credentials = connection.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)
        if int.from_bytes(credentials[4:8], sys.byteorder) != os.geteuid():
            return
        if patched:
            connection.send(b'{"refused": "its sockets and threads are gevent\'s"}\n')
            return
        import threading

        if any(each.name == "fiberlab attach" for each in threading.enumerate()):
            connection.send(b'{"refused": "an earlier fiberlab attach is still leaving it"}\n')
            return
        thread = threading.Thread(
            target=_work, args=(connection.detach(),), name="fiberlab attach", daemon=True
        )
        thread.start()
    except OSError:
        return
    finally:
        connection.close()


def _work(descriptor: int) -> None:
    """Load this package under a name of its own, record with it, and forget it."""
    import contextlib
    import importlib.util
    import json
    import os
    import socket
    import sys

    # A name of its own: the process may use fiberlab itself, and another version of it.
    name = "_fiberlab_attached"
    with socket.socket(fileno=descriptor) as connection:
        try:
            line = b""
            while not line.endswith(b"\n"):
                line += (got := connection.recv(1))
                if not got:  # attach has ended
                    return
            options = json.loads(line)
            start = os.path.join(options["package"], "__init__.py")
            spec = importlib.util.spec_from_file_location(name, start)
            assert spec is not None
            assert spec.loader is not None
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
            importlib.import_module(f"{name}.elsewhere.attached").record(connection, options)
        except Exception as error:
            text = json.dumps({"refused": f"{type(error).__name__}: {error}"})
            with contextlib.suppress(OSError):
                connection.sendall(text.encode() + b"\n")
        finally:
            for each in [each for each in sys.modules if each.partition(".")[0] == name]:
                del sys.modules[each]


_enter()
