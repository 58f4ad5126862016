"""A real, small model: SmolLM2-135M behind llama.cpp's own server. `smollm.py PORT`; 0 means any free port.

It speaks `/v1/chat/completions` with streaming and real usage, about ten tokens a second. Prints `ready PORT`.
"""

import os
import signal
import socket
import sys
from pathlib import Path

import xllamacpp

def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def model() -> str:
    peers = Path(os.environ.get("ADJUTANT_PEERS_DIR") or Path(__file__).resolve().parents[2] / ".peers")
    file = peers / "model" / "smollm2.gguf"
    if not file.is_file():
        sys.exit(f"{file} is not there: run tests/peers/install")
    return str(file)


def main() -> None:
    port = int(sys.argv[1]) or free_port()
    # Ends at once: the server's threads hold nothing that must be saved.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    params = xllamacpp.CommonParams()
    params.model.path = model()
    params.model_alias = ["smollm2"]
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = 4096
    params.n_parallel = 1
    params.warmup = False
    params.sampling.temp = 0.0
    # It seldom knows when to stop.
    params.n_predict = 160
    server = xllamacpp.Server(params)
    print("ready", port, flush=True)
    _ = server  # it serves for as long as it is held
    while True:
        signal.pause()


main()
