#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2, crun 1.21-1
#
# `podman system service -t 5`, which is what podman.service runs, ends itself five seconds after its last client has gone, although
# it is in the middle of a build: that of a client which was killed. The build is not cancelled when its client goes, and
# does not count as something to do. Its step goes on under PID 1, with a working container and a bundle that nobody
# will remove. While the client waits, the service stays for as long as the build takes.
#
# One would have guessed that a build is cancelled when its client has gone, or that a service which goes on building is
# not idle before it has done.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
claim "what podman.service runs, and the default of -t" "/usr/bin/podman \$LOGGING system service 5" \
	"$(inside sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/podman.service) $(inside podman system service --help | sed -n 's/.* -t, .*(default \([0-9]*\)).*/\1/p')"
seen=$(insh 'systemd-run -q -u api podman system service -t 5 unix:///run/api.sock
	until [ -S /run/api.sock ]; do sleep 0.1; done
	podman --url unix:///run/api.sock build --network host --no-cache -f hang . >/dev/null 2>&1 &
	client=$!
	arrived
	sleep 8
	echo $(systemctl is-active api) $(left | wc -l)
	kill -KILL $client
	wait $client 2>/dev/null
	sleep 2
	echo $(systemctl is-active api) $(left | wc -l)
	for try in $(seq 300); do systemctl -q is-active api || break; sleep 0.1; done
	echo $(systemctl is-active api) $(systemctl show -P Result api) $(left | wc -l)
	echo $(sed -n "s/^PPid:.//p" /proc/$(left)/status) $(podman ps -aq --external | wc -l) $(ls -d /var/tmp/buildah[0-9]* | wc -l)
	kill -9 $(left)')
{ read -r waits; read -r gone; read -r idle; read -r left; } <<<"$seen"
claim "the service and processes of the step, the client waits" "active 1" "$waits"
claim "two seconds after the client was killed" "active 1" "$gone"
claim "when the service has ended, and with what result" "inactive success 1" "$idle"
claim "the step's parent; working containers, bundles" "1 1 1" "$left"
