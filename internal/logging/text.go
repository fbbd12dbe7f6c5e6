package logging

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
)

// maxText is how many bytes of a message or a value are logged.
const maxText = 4096

// textFormatter writes an entry as one line: time, level, message, fields.
type textFormatter struct{}

func (textFormatter) Format(e *logrus.Entry) ([]byte, error) {
	if _, ok := e.Data[FieldJournalOf]; ok {
		return nil, nil // there is no journal
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s: %s", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Level, message(e))
	for _, name := range slices.Sorted(maps.Keys(e.Data)) {
		// The error stands in the message; the catalogue is the journal's.
		if name == logrus.ErrorKey || name == FieldMessageID {
			continue
		}
		fmt.Fprintf(&b, " %s=%s", printable(name), word(text(e.Data[name])))
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// text returns a value as it is logged.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	default:
		return fmt.Sprint(v)
	}
}

// word returns s as one word: quoted where it would not be one.
func word(s string) string {
	s = shorten(s)
	if s == "" || strings.ContainsAny(s, " =\"\\") || !isPrintable(s) {
		return strconv.Quote(s)
	}
	return s
}

// printable returns s with every byte escaped that is no printable character,
// as in a Go string: one entry stays one line, and no terminal is told anything.
func printable(s string) string {
	s = shorten(s)
	if isPrintable(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if isPrintable(s[:size]) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.Quote(s[:size]), `"`))
		}
		s = s[size:]
	}
	return b.String()
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}

// shorten cuts s at the border of a character.
func shorten(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
