package machine

import "testing"

func TestChooseSite(t *testing.T) {
	for _, test := range []struct{ name, lines, want string }{
		{"nothing configured", "", ""},
		{"security only", "http://mirror.test/security bookworm-security main\n", ""},
		{"the host's own release before others", `http://other.test/apt cloud main
http://mirror.test/security bookworm-security main
http://mirror.test/debian bookworm main
`, "http://mirror.test/debian"},
		{"a release by another name", "http://mirror.test/debian stable main\n", "http://mirror.test/debian"},
		{"another component", "http://mirror.test/debian bookworm contrib\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := chooseSite(test.lines, "bookworm"); got != test.want {
				t.Errorf("chose %q, want %q", got, test.want)
			}
		})
	}
}
