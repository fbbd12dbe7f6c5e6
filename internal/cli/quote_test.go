package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"":               "",
		"podman build":   "podman build",
		"ünïcödé 編":      "ünïcödé 編",
		`a "b" \c`:       `a "b" \c`,
		`"a"`:            `"\"a\""`, // or it could be taken for something quoted
		"a\x1b[2Jb":      `"a\x1b[2Jb"`,
		"a\nb":           `"a\nb"`,
		"a\xffb":         `"a\xffb"`,
		"\u202egnp.exe":  `"\u202egnp.exe"`,
		"a\u00a0\u200bb": `"a\u00a0\u200bb"`,
		"\ufffd":         "\ufffd",
	} {
		if got := quote(s); got != want {
			t.Errorf("quote(%q) = %s, want %s", s, got, want)
		}
	}
	if got, want := oneLine("build \"x\x1b\n\xff\" of ünï"), `build "x\x1b\n\xff" of ünï`; got != want {
		t.Errorf("oneLine: %s, want %s", got, want)
	}
}

// FuzzQuote: whatever comes in, what comes out is one line that a terminal only
// prints; and a JSON document still means the same.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "x", "\x1b[2J", "\xff", "\u202e", "\"", "\U000e0001", "\\", "\u0085"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{quote(s), oneLine(s), shorten(quote(s), 8)} {
			if !isPlain(got) {
				t.Errorf("%q comes out as %q", s, got)
			}
		}
		document, err := marshal(s, "")
		if err != nil {
			t.Fatal(err)
		}
		if document = strings.TrimSuffix(document, "\n"); !isPlain(document) {
			t.Errorf("%q comes out as %q", s, document)
		}
		var got string
		if err := json.Unmarshal([]byte(document), &got); err != nil || utf8.ValidString(s) && got != s {
			t.Errorf("%q comes back as %q (%v)", s, got, err)
		}
	})
}

func TestHumanDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 120 * time.Second: "2m0s",
		time.Hour - 1: "59m59s", time.Hour: "1h0m", 47*time.Hour + 59*time.Minute: "47h59m",
		52 * time.Hour: "2d4h",
	} {
		if got := humanDuration(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
	for seconds, want := range map[float64]string{-1: "0.0s", 0.04: "0.0s", 12.34: "12.3s", 60: "60s", 150: "2m30s"} {
		if got := humanCPU(seconds); got != want {
			t.Errorf("%f: got %s, want %s", seconds, got, want)
		}
	}
}
