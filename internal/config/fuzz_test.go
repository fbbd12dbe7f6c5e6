package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever a file holds: no panic, errors of one clean line each, and nothing
// out of bounds is accepted. The bounds stand here once more, by purpose.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"", "\ufeff", "[log]\nlevel = \"debug\"\n", "log.level = 'info'", "ladder = { kill_timeout = \"1s\", stop_timeout = \"1h\" }",
		"[ladder]\nkill_timeout = \"-1s\"\nowner_timeout = \"9223372036s\"", "[metrics]\nlisten = \"[::ffff:127.0.0.1]:1\"",
		"[metrics]\nlisten = \"\"", "[metrics]\nlisten = [\"127.0.0.1:1\", # one\n\"[::1]:2\",]\nweb_config = \"/\"", "[limits]\nconnections_per_user = 0b1_1", "[limits]\nconnections_per_user = -9223372036854775808",
		"a = [[[{}]]]", "[[log]]\n[log.x]", "[log]\nlevel = \"\"\"\nx\\\n\"\"\"", "\"\\u0000\" = 1", "a.b.c.d = 1979-05-27T07:32:00Z", "x = ", "[", "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := assemble([]file{{path: "F", data: data}})
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v with error %v", c, err)
		}
		if err != nil {
			checkProblems(t, err, strings.Count(string(data), "\n")+1)
			return
		}
		for _, d := range []time.Duration{c.Ladder.KillTimeout, c.Ladder.OwnerTimeout, c.Ladder.StopTimeout} {
			if d < 10*time.Millisecond || d > 10*time.Minute {
				t.Errorf("accepted %+v", c.Ladder)
			}
		}
		if n := c.Limits.ConnectionsPerUser; n < 1 || n > 4096 {
			t.Errorf("accepted %+v", c.Limits)
		}
		for _, a := range c.Metrics.Listen {
			if !a.Addr().IsLoopback() || a.Port() == 0 || a.Addr().Zone() != "" {
				t.Errorf("accepted %+v", c.Metrics)
			}
		}
		if !slices.Contains([]string{"error", "warning", "info", "debug"}, c.Log.Level) {
			t.Errorf("accepted %+v", c.Log)
		}
	})
}

func checkProblems(t *testing.T, err error, lines int) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T is no joined error", err)
	}
	for _, err := range joined.Unwrap() {
		var p *Problem
		if !errors.As(err, &p) || p.Line < 1 || p.Line > lines || p.Reason == "" {
			t.Errorf("problem %+v in %d lines", p, lines)
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("control byte in %q", err.Error())
		}
	}
}
