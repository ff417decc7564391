# SPDX-License-Identifier: MIT
"""The servers that clients are measured against: they run on the core of the harness, not on the
measured one, and end with the block that wanted them."""
import contextlib
import functools
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile

import peers


class Failed(Exception):
    """A contender did not do its work, or a server did not."""


def stop(proc):
    proc.send_signal(signal.SIGTERM)
    try:
        proc.wait(5)
    except subprocess.TimeoutExpired:
        proc.kill()
        proc.wait()
    if proc.stdout:
        proc.stdout.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, name):
    """Returns once somebody listens on the port."""
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        select.select([], [], [], 0.05)
    raise Failed(name + " did not become ready")


@contextlib.contextmanager
def server(argv, **how):
    """Runs a server that prints "ready" until the block ends; yields its process."""
    proc = subprocess.Popen(argv, stdout=subprocess.PIPE, env=peers.environment(), **how)
    try:
        heard = select.select([proc.stdout], [], [], 10)[0]
        if not heard or proc.stdout.readline() != b"ready\n":
            raise Failed("the server did not become ready")
        yield proc
    finally:
        stop(proc)


@contextlib.contextmanager
def certificate():
    """A certificate for localhost and its key, which are gone afterwards; yields their paths."""
    with tempfile.TemporaryDirectory(prefix="corun-bench-") as folder:
        pair = [os.path.join(folder, name) for name in ("cert.pem", "key.pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", pair[0],
                        "-keyout", pair[1]], check=True, stderr=subprocess.DEVNULL)
        yield pair


@contextlib.contextmanager
def sshd(program):
    """Runs OpenSSH's server; yields its port and a folder with what clients need: a key `id` and
    `known_hosts`."""
    port = free_port()
    if os.getuid() == 0:
        os.makedirs("/run/sshd", 0o755, exist_ok=True)  # as its service does
    with tempfile.TemporaryDirectory(prefix="corun-bench-") as folder:
        at = functools.partial(os.path.join, folder)
        for name in ("host", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at(name)],
                           check=True)
        with open(at("host.pub")) as f, open(at("known_hosts"), "w") as known:
            known.write(f"[127.0.0.1]:{port} {f.read()}")
        with open(at("config"), "w") as f:
            f.write(f"ListenAddress 127.0.0.1:{port}\nHostKey {at('host')}\nPidFile none\n"
                    f"AuthorizedKeysFile {at('id.pub')}\nStrictModes no\nUsePAM no\n"
                    "PermitRootLogin yes\nLogLevel FATAL\nSubsystem sftp internal-sftp\n")
        proc = subprocess.Popen([program, "-D", "-e", "-f", at("config")])
        try:
            wait_for(port, "sshd")
            yield port, folder
        finally:
            stop(proc)


@contextlib.contextmanager
def nginx(programs, pair=None, addresses=1, root=peers.script("scrape")):
    """Runs nginx, serving the folder `root`, over TLS 1.3 with a certificate and key, on so many
    addresses from 127.0.0.1 on; yields its port."""
    port, folder = free_port(), tempfile.mkdtemp(prefix="corun-bench-")
    conf = os.path.join(folder, "nginx.conf")
    listen = "".join(f"listen 127.0.0.{i + 1}:{port} backlog=511{' ssl' if pair else ''};\n"
                     for i in range(addresses))
    if pair:
        listen += (f"ssl_protocols TLSv1.3;\nssl_certificate {pair[0]};\n"
                   f"ssl_certificate_key {pair[1]};\n")
    with open(peers.script("scrape/nginx.conf")) as f:
        text = f.read().replace("DIR", folder).replace("LISTEN", listen)
        text = text.replace("ROOT", root)
    with open(conf, "w") as f:
        f.write(text)
    proc = subprocess.Popen([programs.nginx, "-p", folder, "-e", "stderr", "-c", conf])
    try:
        wait_for(port, "nginx")
        yield port
    finally:
        stop(proc)
        shutil.rmtree(folder)
