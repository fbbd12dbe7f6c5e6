#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1 (journalctl, systemd-journal-remote)
#
# `journalctl -p debug`, the lowest priority there is, leaves out each entry without the field PRIORITY, which plain `journalctl`
# shows; any program may write such ones. Of an entry with two fields MESSAGE `-o cat` shows the first and `-o short` the
# last. One without MESSAGE is shown by neither, and counts: `-n 1` shows nothing. The time that is shown is the source's,
# and `--since` goes by the one at which the entry was received: it lists an entry that it dates years before.
#
# One would have guessed that "debug and more important" is everything, that one entry has one message and one time, and that
# the last entry is an entry.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
unpack trixie systemd-journal-remote=257.13-1~deb13u1
second=1790000000 # 2026-09-21 14:13:20 UTC
entry() { # entry FIELD=VALUE...: in the journal's export format, each a second later than the one before
	second=$((second + 1))
	printf '__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=1\n_BOOT_ID=%032d\n' "${second}000000" 1
	printf '%s\n' "$@" ''
}
{
	entry TEST=priority MESSAGE=without
	entry TEST=priority MESSAGE=with PRIORITY=7
	entry TEST=message MESSAGE=first MESSAGE=last
	entry TEST=time MESSAGE=old _SOURCE_REALTIME_TIMESTAMP=1700000000000000
	entry TEST=none MESSAGE=before
	entry TEST=none OTHER=field
} >"$work/run/export"
(within /usr/lib/systemd/systemd-journal-remote -o /run/test.journal /run/export) >"$work/log" 2>&1
shown() { (within journalctl --file /run/test.journal --quiet --utc "$@") | paste -sd , || true; }
claim "without a priority" "without,with" "$(shown -o cat TEST=priority)"
claim "-p debug" "with" "$(shown -o cat -p debug TEST=priority)"
claim "-o cat" "first" "$(shown -o cat TEST=message)"
claim "-o short" "last" "$(shown -o short TEST=message | grep -o '[^ ]*$')"
claim "the year of what is since 2026-09-21" "2023 old" "$(shown -o short-full --since 2026-09-21 TEST=time | sed -E 's/^[A-Z][a-z]+ ([0-9]+)-.* /\1 /')"
claim "-n 2, -n 1" "before; " "$(shown -o cat -n 2 TEST=none); $(shown -o cat -n 1 TEST=none)"
claim "-n 1 -o export" "OTHER=field" "$(shown -o export -n 1 TEST=none | grep -o 'OTHER=[^,]*')"
