//go:build unix

package podmanmachine

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// shellWords returns what a shell makes of a line that ssh joined of quoted
// words: ssh puts a blank between them, and the user's shell reads the line.
func shellWords(t *testing.T, words []string) []string {
	t.Helper()
	line := strings.Join(append([]string{"printf", `'%s\0'`}, quoteAll(words)...), " ")
	out, err := exec.Command("sh", "-c", line).Output()
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	var read []string
	for word := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		read = append(read, string(word))
	}
	return read
}

func TestAShellReadsWhatWasQuoted(t *testing.T) {
	words := []string{
		"list", "--format", "{{.ID}}\t{{.State}}", "", " ", "two words", "it's", "''", `"`, `\`, `\'`, "a\nb\n", "$HOME", "${HOME}",
		"$(id)", "`id`", "*", "~", "#", "!!", ";", "&", "|", "<", ">", "(", "%s", "\r", "\x1b", "\xff", "ä", "=", "-", "--", "a=b", "{a,b}", "[a]", "^", "?",
	}
	if got := shellWords(t, words); !slices.Equal(got, words) {
		t.Errorf("read\n%q, want\n%q", got, words)
	}
	for plain, want := range map[string]string{"list": "list", "--sort=cpu": "'--sort=cpu'", "it's": `'it'\''s'`, "": "''"} {
		if got := quote(plain); got != want {
			t.Errorf("%q is quoted as %s, want %s", plain, got, want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("it's", "$(id)\n")
	f.Add("", "\\")
	f.Fuzz(func(t *testing.T, a, b string) {
		words := []string{strings.ReplaceAll(a, "\x00", ""), strings.ReplaceAll(b, "\x00", "")}
		if got := shellWords(t, words); !slices.Equal(got, words) {
			t.Errorf("read %q, want %q", got, words)
		}
	})
}
