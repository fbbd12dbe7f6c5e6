#!/bin/bash
# Linux 6.18
#
# A process of a frozen cgroup (v2) has state S in /proc/PID/stat, as if it slept, whether it slept or
# was in a busy loop; cgroup.freeze and its wchan, get_signal, are the only traces. A SIGSTOP
# that it gets meanwhile is neither shown as T nor told to its parent until the cgroup is thawed.
#
# One would have guessed T (stopped), or D as in the freezer of cgroup v1, and that a wait with
# WUNTRACED returns once kill -STOP has. What looks at states to find hung or stopped
# processes takes a frozen busy loop for an idle one.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cgroup
cat >"$work/freeze.py" <<'PY'
import os, signal, subprocess, sys, time

cg = sys.argv[1]


def write(name, text):
    with open(cg + "/" + name, "w") as file:
        file.write(text)


def state(pid):
    return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]


def until(what):
    for _ in range(500):
        if what():
            return "yes"
        time.sleep(0.01)
    return "no"


loop = subprocess.Popen(["sh", "-c", "while :; do :; done"])
try:
    write("cgroup.procs", str(loop.pid))
    print("before:", until(lambda: state(loop.pid) == "R") and state(loop.pid))
    write("cgroup.freeze", "1")
    until(lambda: "frozen 1" in open(cg + "/cgroup.events").read())
    print("frozen:", state(loop.pid), open(f"/proc/{loop.pid}/wchan").read())
    os.kill(loop.pid, signal.SIGSTOP)
    time.sleep(1)
    waited = os.waitpid(loop.pid, os.WNOHANG | os.WUNTRACED)[0]
    print("a second after SIGSTOP:", state(loop.pid), "told to the parent:", waited != 0)
    write("cgroup.freeze", "0")
    print("thawed, stopped within 5 s:", until(lambda: state(loop.pid) == "T"))
finally:
    loop.kill()
    loop.wait()
PY
python3 "$work/freeze.py" "$cg" >"$work/seen"
{ read -r before; read -r frozen; read -r stopped; read -r thawed; } <"$work/seen"
claim "a busy loop" "before: R" "$before"
claim "state and wchan" "frozen: S get_signal" "$frozen"
claim "stopped while frozen" "a second after SIGSTOP: S told to the parent: False" "$stopped"
claim "then" "thawed, stopped within 5 s: yes" "$thawed"
