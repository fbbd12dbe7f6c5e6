package cli

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// quote returns s as it is if it is fit for a terminal. Anything else (control
// characters, bidi overrides, invisible characters, invalid UTF-8) comes back as
// a quoted Go string, so that one entry is one line and nobody's name writes on
// the screen.
func quote(s string) string {
	if isPlain(s) && !strings.HasPrefix(s, `"`) {
		return s
	}
	return strconv.Quote(s)
}

func isPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// oneLine escapes only what is unfit for a terminal, for a message that is a
// mixture of our words and others'.
func oneLine(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteRune(r)
		} else {
			q := strconv.Quote(s[:size])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[size:]
	}
	return b.String()
}

// escapeJSON does for a JSON document what quote does for text: encoding/json
// leaves DEL, C1 controls and bidi overrides as they are. They can only stand
// inside strings, where \u means the same.
func escapeJSON(document []byte) string {
	var b strings.Builder
	for _, r := range string(document) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// shorten cuts a string that is longer than n characters.
func shorten(s string, n int) string {
	const more = "..."
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-len(more)]) + more
}
