#!/usr/bin/env bash
# What one expects: a server's `await send(piece)` of a streamed answer waits while the client reads nothing, whichever
# of its protocols the application speaks; RSGI's `send_bytes` is awaited as ASGI's `send` is.
# What happens: with Granian, ASGI's `send` waits when four pieces are under way, and RSGI's `send_bytes` never does: an
# application that streams 64 MiB to a client that reads nothing has handed over all of it at once, and the server keeps
# it in memory.
# Package: granian 2.8.7.
# Why it matters to a task API: an export streamed over RSGI takes as much memory as it has bytes, for each client that
# does not read; over ASGI it takes some pieces.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check granian==2.8.7

cat > app.py <<'PYTHON'
PIECE, PIECES = b"x" * 65_536, 1024
counts = {"asgi": 0, "rsgi": 0}


def note(kind):
    counts[kind] += 1
    with open(f"{kind}.count", "w") as file:
        file.write(str(counts[kind]))


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(PIECES):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        note("asgi")


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        stream = protocol.response_stream(200, [])
        for _ in range(PIECES):
            await stream.send_bytes(PIECE)
            note("rsgi")


rsgi = Rsgi()
PYTHON

port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
for kind in asgi rsgi; do
    venv/bin/granian --interface "$kind" --host 127.0.0.1 --port "$port" "app:$kind" >log 2>&1 &
    server=$!
    python3 - "$port" "$kind" <<'PYTHON'
import shutil, socket, sys, time
for _ in range(200):
    try:
        client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
time.sleep(5)
shutil.copy(f"{sys.argv[2]}.count", f"{sys.argv[2]}.seen")  # before the client leaves
PYTHON
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
done

asgi=$(cat asgi.seen) rsgi=$(cat rsgi.seen)
echo "pieces of 64 KiB handed over, of 1024, to a client that reads nothing: ASGI $asgi, RSGI $rsgi"
# How many ASGI takes depends on the system's buffers, 4 MiB by default; it is far from all.
[ "$asgi" -lt 512 ] && [ "$rsgi" -eq 1024 ]
