#!/bin/bash
# Debian trixie: aardvark-dns 1.14.0-3 (the name server of podman's networks)
#
# A container's name under dns.podman has an address, and does not exist (NXDOMAIN) for whoever asks for another type: TXT, MX, or
# HTTPS, as browsers do. The same question without the domain, as containers ask, goes to the host's name
# servers, and so does a name that is nobody's, if one letter of DNS.podman is a capital: in small letters it stays.
#
# One would have guessed an empty answer, as for the IPv6 address of the same container: NXDOMAIN is about the name, not the
# type, and a resolver may keep it in mind for all types; and that names of its own domain are answered by itself, however they are spelled.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3 unshare ip
unpack trixie aardvark-dns=1.14.0-3
mkdir "$work/networks"
printf '10.89.0.1\n%064d 10.89.0.2  web,0123456789ab\n' 1 >"$work/networks/podman1"
cat >"$work/ask.py" <<'PY'
import socket, struct, threading

TYPES = {"A": 1, "TXT": 16, "AAAA": 28, "HTTPS": 65}
RCODES = {0: "NOERROR", 3: "NXDOMAIN", 5: "asked the host's"}


def host():
    """The host's name server: refuses."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        question, sender = server.recvfrom(512)
        server.sendto(question[:2] + b"\x81\x85" + question[4:], sender)


def ask(kind, name):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(10)
    sock.bind(("10.89.0.2", 0))
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", TYPES[kind], 1)
    for _ in range(20):  # until it serves
        try:
            sock.sendto(question, ("10.89.0.1", 5533))
            answer = sock.recv(512)
            return "%s %d" % (RCODES[answer[3] & 15], struct.unpack_from(">H", answer, 6)[0])
        except OSError:
            pass


threading.Thread(target=host, daemon=True).start()
for question in "A web.dns.podman", "AAAA web.dns.podman", "TXT web.dns.podman", "HTTPS web.dns.podman", \
        "HTTPS web", "A nobody.dns.podman", "A nobody.DNS.podman":
    print(ask(*question.split()))
PY
cat >"$work/network.sh" <<'SH'
ip link set lo up
for host in 1 2; do ip address add 10.89.0.$host/24 dev lo; done
echo nameserver 127.0.0.1 >"$1/resolv.conf"
mount --bind "$1/resolv.conf" "$(readlink -f /etc/resolv.conf)"
"$2" --config "$1/networks" --port 5533 run
python3 "$1/ask.py"
SH
# All of the PID namespace ends with the shell.
unshare --net --mount --pid --fork --mount-proc --kill-child bash -e "$work/network.sh" "$work" "$root/usr/lib/podman/aardvark-dns" >"$work/seen" 2>"$work/log" ||
	unseen "$(tail -1 "$work/log")"
{ read -r four; read -r six; read -r txt; read -r https; read -r short; read -r small; read -r capital; } <"$work/seen"
claim "web.dns.podman: A, AAAA" "NOERROR 1, NOERROR 0" "$four, $six"
claim "TXT, HTTPS" "NXDOMAIN 0, NXDOMAIN 0" "$txt, $https"
claim "web, HTTPS" "asked the host's 0" "$short"
claim "A of nobody.dns.podman, nobody.DNS.podman" "NXDOMAIN 0, asked the host's 0" "$small, $capital"
