#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2 (Quadlet); compared with systemd 257.13-1~deb13u1
#
# Quadlet files are "similar to systemd unit files", and read by a reader of Quadlet's own: `ReadOnly=y`, true for systemd, is false,
# and so is a misspelled `ture`, of which systemd would complain; nothing is said. Lines that a backslash joins are joined
# without the blank that systemd puts between them, in the file's [Service] section as well: of "/bin/echo one\" and "two" systemd
# makes `echo one two`, and Quadlet, for systemd, `echo onetwo`.
#
# One would have guessed that the sections which are handed on to systemd are handed on as they are, and that a value which is no
# boolean is an error, as an unknown key is.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
mkdir -p "$work/run/units" "$work/run/systemd"
: >"$work/run/containers.conf"
quadlet() { # quadlet LINE...: what it makes of a .container file with these lines, and says
	printf '%s\n' '[Container]' 'Image=localhost/image' "$@" >"$work/run/units/findings.container"
	(within env QUADLET_UNIT_DIRS=/run/units /usr/libexec/podman/quadlet -dryrun) 2>&1
}
systemd() { # systemd LINE...: what it complains of in a service with these lines
	printf '%s\n' '[Service]' "$@" >"$work/run/findings.service"
	(within systemd-analyze verify --man=no /run/findings.service) 2>&1 | grep -o 'findings.service:.*' || echo nothing
}
read_only() { quadlet "ReadOnly=$1" | grep -oE -- '--read-only(=false)?|error.*' | paste -sd " "; }
claim "ReadOnly=yes, 1, True" "--read-only, --read-only, --read-only" "$(read_only yes), $(read_only 1), $(read_only True)"
claim "ReadOnly=y, t, ture" "--read-only=false, --read-only=false, --read-only=false" "$(read_only y), $(read_only t), $(read_only ture)"
claim "an unknown key" "unsupported key 'ReadOnyl'" "$(quadlet ReadOnyl=yes | grep -o "unsupported key 'ReadOnyl'")"
claim "systemd of PrivateTmp=y" "nothing" "$(systemd ExecStart=/bin/true PrivateTmp=y)"
claim "of PrivateTmp=ture" "Failed to parse PrivateTmp=ture" "$(systemd ExecStart=/bin/true PrivateTmp=ture | grep -oE 'Failed to parse .*ture')"
claim "systemd of ExecStart=/bin/missing and a joined line" "Command /bin/missing is not executable" "$(systemd "ExecStart=/bin/missing\\" two | grep -o 'Command.*executable')"
claim "for Quadlet" "ExecStartPre=/bin/echo onetwo" "$(quadlet '[Service]' "ExecStartPre=/bin/echo one\\" two | grep ExecStartPre | tail -1)"
